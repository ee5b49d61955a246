package client

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parleychat/parley/wire"
)

// patience is how long a test waits for what must come. It is generous: tests
// run beside others.
const patience = 20 * time.Second

// server is a server whose answers the test writes. It speaks real WebSockets
// on a real socket, and knows nothing of conversations.
type server struct {
	t        testing.TB
	listener net.Listener
	sessions chan *remote
	wg       sync.WaitGroup

	mu     sync.Mutex
	open   []net.Conn
	refuse int      // an HTTP status to answer upgrades with
	reason string   // its body
	tokens []string // that came
}

// remote is one client's connection, seen from the server.
type remote struct {
	t        testing.TB
	socket   net.Conn
	p        wire.Subprotocol
	token    string
	url      *url.URL // that it asked for
	requests chan *wire.Request
	ended    chan struct{}  // closed when nothing more comes
	closed   wire.CloseCode // valid when ended

	// Owned by the test.
	incarnation uint64
	pushes      uint64
	marks       []*wire.Mark             // that were acknowledged
	also        func(*wire.Request) bool // answers what else may come, if it can

	mu sync.Mutex // one frame at a time
}

func newServer(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listener: l, sessions: make(chan *remote, 64)}
	s.wg.Go(s.acceptLoop)
	t.Cleanup(s.close)
	return s
}

func (s *server) url() string { return "ws://" + s.listener.Addr().String() + "/ws" }

func (s *server) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) acceptLoop() {
	for {
		socket, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open = append(s.open, socket)
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(socket) })
	}
}

// refuseWith has the server answer upgrades with a status, 0 to accept.
func (s *server) refuseWith(status int) { s.refuseAs(status, "refused") }

func (s *server) refuseAs(status int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.reason = status, reason
}

func (s *server) seenTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tokens...)
}

func (s *server) serve(socket net.Conn) {
	r := bufio.NewReader(socket)
	q, err := http.ReadRequest(r)
	if err != nil {
		_ = socket.Close()
		return
	}
	s.mu.Lock()
	refuse, reason := s.refuse, s.reason
	s.tokens = append(s.tokens, q.Header.Get("Authorization"))
	s.mu.Unlock()
	if refuse != 0 {
		_, _ = fmt.Fprintf(socket, "HTTP/1.1 %d No\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", refuse, len(reason), reason)
		_ = socket.Close()
		return
	}
	p, ok := wire.ParseSubprotocol(q.Header.Get("Sec-WebSocket-Protocol"))
	if !ok {
		s.t.Errorf("subprotocol %q", q.Header.Get("Sec-WebSocket-Protocol"))
	}
	_, _ = fmt.Fprintf(socket, "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		wire.AcceptKey(q.Header.Get("Sec-WebSocket-Key")), p)
	e := &remote{
		t: s.t, socket: socket, p: p, token: q.Header.Get("Authorization"), url: q.URL,
		requests: make(chan *wire.Request, 4096), ended: make(chan struct{}),
	}
	s.sessions <- e
	e.readLoop(r)
}

// readLoop passes requests on until the client goes.
func (e *remote) readLoop(r *bufio.Reader) {
	defer close(e.ended)
	frames := wire.Reassembler{Server: true}
	var decoder wire.RequestDecoder
	var b []byte
	for {
		f, n, err := frames.Next(b)
		if err != nil {
			e.t.Errorf("the client's frames: %v", err)
			return
		}
		if n == 0 {
			part := make([]byte, 4096)
			n, err := r.Read(part)
			if err != nil {
				return
			}
			b = append(b, part[:n]...)
			continue
		}
		switch f.Opcode {
		case wire.OpClose:
			e.closed, _, _ = wire.ParseClose(f.Payload)
			_ = e.socket.Close()
			return
		case wire.OpText, wire.OpBinary:
			if f.Opcode != e.p.Opcode() {
				e.t.Errorf("a %v message in %v", f.Opcode, e.p)
			}
			requests, err := decoder.Decode(e.p, f.Payload)
			if err != nil {
				e.t.Errorf("the client's requests: %v", err)
				return
			}
			for _, q := range requests {
				e.requests <- proto.Clone(q).(*wire.Request)
			}
		case wire.OpPong:
			e.requests <- &wire.Request{} // an empty one stands for a pong
		}
		b = b[n:]
	}
}

// accept returns the next connection.
func (s *server) accept() *remote {
	s.t.Helper()
	select {
	case e := <-s.sessions:
		return e
	case <-time.After(patience):
		s.t.Fatal("no client came")
		return nil
	}
}

// request returns the next request of the client.
func (e *remote) request() *wire.Request {
	e.t.Helper()
	select {
	case q := <-e.requests:
		return q
	case <-time.After(patience):
		e.t.Fatal("no request came")
		return nil
	}
}

// push sends server messages as one WebSocket message, and counts the pushes
// among them.
func (e *remote) push(messages ...*wire.ServerMessage) {
	e.t.Helper()
	var payload []byte
	for _, m := range messages {
		if m.ReplyTo == 0 && (m.Message != nil || m.Marks != nil || m.State != nil) {
			e.pushes++
		}
		payload = wire.AppendServerMessage(payload, e.p, m)
	}
	e.frame(e.p.Opcode(), payload)
}

func (e *remote) frame(op wire.Opcode, payload []byte) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	b := wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: op, Length: len(payload)})
	if _, err := e.socket.Write(append(b, payload...)); err != nil && !errors.Is(err, net.ErrClosed) {
		e.t.Logf("write to the client: %v", err)
	}
}

// bye closes with a code.
func (e *remote) bye(code wire.CloseCode, reason string) {
	e.t.Helper()
	e.frame(wire.OpClose, wire.AppendClose(nil, code, reason))
	e.wait()
}

// cut ends the connection without a word.
func (e *remote) cut() {
	e.t.Helper()
	_ = e.socket.(*net.TCPConn).SetLinger(0)
	_ = e.socket.Close()
	e.wait()
}

// wait waits until the client is gone.
func (e *remote) wait() {
	e.t.Helper()
	select {
	case <-e.ended:
	case <-time.After(patience):
		e.t.Fatal("the client did not go")
	}
}
