package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"

	"github.com/parleychat/parley/internal/invariant"
)

// poller is nbio's epoll loop: one goroutine that reads all sockets and calls
// their sessions.
//
// nbio names a connection by its file descriptor, in its table and in the events
// of one epoll_wait. A descriptor that is closed while an event for it waits in
// that batch, and given to a newcomer at once, would have the newcomer closed
// by an event of its predecessor. And nbio closes on any goroutine, for
// instance on that of a failed write. So a newcomer enters the table only when
// the batch is over in which its descriptor may have been closed: adopt takes
// the descriptor first, then waits for one wake-up of the poller, and joins in
// the next.
//
// Wake-ups come by one end of a pair of sockets that is itself a connection of
// the poller; nbio has no hook for them. Everything else that is to happen on
// the poller, and nowhere else, comes the same way: shutdown and close, since
// what nbio lends of a descriptor may be another's by the time it is used, and
// the end of a session, which must not overtake its last bytes.
//
// Writes are made on any goroutine, and are safe: nbio holds the connection's
// lock and looks whether it is closed. Never Writev, which drops what the kernel
// does not take.
type poller struct {
	server *Server
	engine *nbio.Engine
	bell   *nbio.Conn // this end of the pair
	ring   net.Conn   // the other

	mu      sync.Mutex // guards below
	tasks   []task
	spare   []task
	rung    bool // a byte is on its way
	stopped bool // no more adoptions
}

// task is something for the poller to do.
type task struct {
	kind     taskKind
	conn     *nbio.Conn
	session  *session
	buffered []byte        // taskAdopt: what the client sent behind the handshake
	rested   bool          // taskAdopt: a wake-up has passed
	done     chan struct{} // taskBarrier
}

type taskKind uint8

const (
	taskAdopt taskKind = iota
	taskShutdown
	taskClose
	taskEnded
	taskBarrier
)

// readBufferSize is nbio's, one for the poller. Three reads of it are made in a
// row, so it also bounds what a client may send just before it closes.
const readBufferSize = 64 << 10

// errStopped reports an adoption after stop.
var errStopped = errors.New("gateway: the poller has stopped")

func init() { logging.SetLogger(nbioLogger{}) }

// openPoller starts the loop and waits until it runs: an engine that is stopped
// before that never ends.
func openPoller(s *Server) (*poller, error) {
	p := &poller{server: s}
	if err := p.makeBell(); err != nil {
		return nil, err
	}
	p.engine = nbio.NewEngine(nbio.Config{Name: "parley", NPoller: 1, ReadBufferSize: readBufferSize, EpollMod: nbio.EPOLLLT})
	p.engine.OnData(p.onData)
	p.engine.OnWrittenSize(onWritten)
	p.engine.OnClose(p.onClose)
	err := p.engine.Start()
	if err == nil {
		_, err = p.engine.AddConn(p.bell)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: start the poller: %w", err), p.bell.Close(), p.ring.Close())
	}
	p.barrier()
	return p, nil
}

// makeBell makes the pair of sockets.
func (p *poller) makeBell() error {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return fmt.Errorf("gateway: make the poller's bell: %w", err)
	}
	near, err := connOf(ends[0], "bell")
	if err != nil {
		return errors.Join(err, syscall.Close(ends[1]))
	}
	if p.ring, err = connOf(ends[1], "ring"); err != nil {
		return errors.Join(err, near.Close())
	}
	if p.bell, err = p.take(near); err != nil {
		return errors.Join(err, near.Close(), p.ring.Close())
	}
	return nil
}

// connOf makes a connection of a descriptor.
func connOf(fd int, name string) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close() // FileConn has its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("gateway: make the poller's %s: %w", name, err)
	}
	return conn, nil
}

// take makes an nbio connection, with a descriptor of its own that no child
// process inherits, and closes the original.
func (p *poller) take(conn net.Conn) (*nbio.Conn, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	c, err := nbio.NBConn(conn)
	if err != nil {
		return nil, fmt.Errorf("gateway: take over a connection: %w", err)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { syscall.CloseOnExec(int(fd)) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: take over a connection: %w", err), c.Close())
	}
	return c, nil
}

// adopt takes a connection over for a session, with what was read of it before.
// If it fails, the session is still the caller's, and the connection is to be
// closed.
func (p *poller) adopt(conn *net.TCPConn, session *session, buffered []byte) error {
	c, err := p.take(conn)
	if err != nil {
		return err
	}
	c.SetSession(session)
	if !p.post(task{kind: taskAdopt, conn: c, session: session, buffered: buffered}) {
		return errors.Join(errStopped, c.Close())
	}
	return nil
}

// post has the poller do a task at its next wake-up. It refuses adoptions once
// the poller is being stopped.
func (p *poller) post(t task) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped && t.kind == taskAdopt {
		return false
	}
	p.tasks = append(p.tasks, t)
	if !p.rung {
		p.rung = true
		// A byte always fits: one is on its way at most. It fails only when the
		// poller has been stopped, and then stop does what is left.
		_, _ = p.ring.Write([]byte{1})
	}
	return true
}

// barrier waits until the poller has done what was posted before.
func (p *poller) barrier() {
	done := make(chan struct{})
	p.post(task{kind: taskBarrier, done: done})
	<-done
}

// work does the tasks.
func (p *poller) work() {
	p.mu.Lock()
	tasks := p.tasks
	p.tasks, p.spare, p.rung = p.spare[:0], nil, false
	p.mu.Unlock()
	for _, t := range tasks {
		p.do(t)
	}
	clear(tasks)
	p.mu.Lock()
	p.spare = tasks
	p.mu.Unlock()
}

func (p *poller) do(t task) {
	if t.session != nil {
		defer p.guard(t.conn)
	}
	switch t.kind {
	case taskAdopt:
		p.join(t)
	case taskShutdown:
		shutdown(t.conn)
	case taskClose:
		_ = t.conn.Close()
	case taskEnded:
		t.session.ended()
	case taskBarrier:
		close(t.done)
	}
}

// join puts a newcomer into nbio's table, one wake-up after its first.
func (p *poller) join(t task) {
	if !t.rested {
		t.rested = true
		if !p.post(t) {
			p.turnAway(t)
		}
		return
	}
	if _, err := p.engine.AddConn(t.conn); err != nil {
		// nbio has closed it, and calls onClose only if it was in the table.
		p.server.options.Logger.Warn("connection not taken over", "err", err)
		t.session.ended()
		return
	}
	t.session.open(&nbioConn{poller: p, conn: t.conn})
	if len(t.buffered) > 0 {
		t.session.received(t.buffered)
	}
	p.server.Flush()
}

// turnAway ends a session whose connection has not been in the table.
func (p *poller) turnAway(t task) {
	_ = t.conn.Close()
	t.session.ended()
}

// shutdown ends our side of the stream. Nobody writes or closes meanwhile: the
// session has written its last, and closing is done here.
func shutdown(c *nbio.Conn) {
	if closed, _ := c.IsClosed(); closed {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		// An error says that the connection has ended already.
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_WR) })
	}
}

func (p *poller) onData(c *nbio.Conn, data []byte) {
	if c == p.bell {
		p.work()
		return
	}
	defer p.guard(c)
	c.Session().(*session).received(data)
}

func onWritten(c *nbio.Conn, _ []byte, n int) {
	if s, ok := c.Session().(*session); ok {
		s.written(n)
	}
}

// onClose is called on a goroutine of nbio's that serves all connections.
func (p *poller) onClose(c *nbio.Conn, _ error) {
	if s, ok := c.Session().(*session); ok {
		p.post(task{kind: taskEnded, conn: c, session: s})
	}
}

// guard keeps a panic in the handling of one connection from ending all: this
// one is closed. A violated invariant ends the process, as it does elsewhere.
func (p *poller) guard(c *nbio.Conn) {
	switch v := recover().(type) {
	case nil:
	case invariant.Violation:
		panic(v)
	default:
		p.server.panicked(v)
		p.post(task{kind: taskClose, conn: c})
	}
}

// stop closes every connection and ends the loop.
func (p *poller) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.barrier() // no adoption is under way
	p.engine.Stop()
	_ = p.ring.Close()
	p.work() // the ends that came after the last wake-up
}

// nbioConn is a connection of the poller as a session sees it.
type nbioConn struct {
	poller *poller
	conn   *nbio.Conn
}

// write hands b to the kernel; nbio copies and keeps what does not fit.
func (c *nbioConn) write(b []byte) {
	_, _ = c.conn.Write(b) // after an error nbio closes it, and onClose says so
}

func (c *nbioConn) shutdown() { c.poller.post(task{kind: taskShutdown, conn: c.conn}) }

func (c *nbioConn) close() { c.poller.post(task{kind: taskClose, conn: c.conn}) }

// nbioLogger passes nbio's warnings on to the default logger. Without it nbio
// writes to standard output.
type nbioLogger struct{}

func (nbioLogger) Debug(string, ...any) {}
func (nbioLogger) Info(string, ...any)  {}

func (nbioLogger) Warn(format string, v ...any)  { slog.Warn(fmt.Sprintf(format, v...)) }
func (nbioLogger) Error(format string, v ...any) { slog.Error(fmt.Sprintf(format, v...)) }
