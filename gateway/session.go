package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/time/rate"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// session is one authenticated device on one socket.
//
// It is known to the registry before it has its connection, so that no push is
// lost between the two; what comes meanwhile waits in the outbox.
type session struct {
	// Fixed when it is admitted.
	server   *Server
	id       wire.SessionID
	who      parley.Identity
	device   parley.DeviceID // zero where the client named none
	protocol wire.Subprotocol
	expires  time.Time // zero is never

	// Owned by the poller.
	frames   wire.Reassembler
	partial  *bytebufferpool.ByteBuffer // a frame that has not come whole
	limiter  *rate.Limiter
	excess   int  // requests refused by the limiter beyond those it let through
	answered bool // something was put in the outbox that no backend flushes

	stream     atomic.Uint64 // of the last send
	heard      atomic.Int64  // tick of the last byte
	unanswered atomic.Int32  // requests
	ending     atomic.Bool   // nothing is read any more

	// Owned by the heartbeat.
	warned    bool // that the token expires
	expirySet bool // the wheel has an event for the token

	mu     sync.Mutex // guards below
	conn   transport  // nil until open
	state  state
	outbox outbox
	pushes uint64 // sent or dropped
	told   uint64 // pushes in the last check

	checkAt  int64 // tick of the next check, if pushes is not told
	checkSet bool  // the wheel has an event for it

	dirty   bool  // in the flusher's list
	waiting bool  // a flush came while the backlog was not empty
	backlog int   // bytes that the transport holds
	turn    int64 // counts writes, so that a slow one is known again

	closeCode   wire.CloseCode
	closeReason string
	closeSent   bool
	peerClosed  bool // the close frame came from the client
	finished    bool // the transport was told that this is all
}

// state is where a session is in its life.
type state uint8

const (
	living  state = iota
	closing       // a close frame was or will be sent; then the connection ends
	gone          // the connection has ended
)

// youngerThan compares by the serial numbers in the ids, which begin anew after
// 2^32.
func (c *session) youngerThan(other *session) bool {
	return int32(uint32(c.id>>32)-uint32(other.id>>32)) > 0
}

// open gives an admitted session its connection. The poller calls it.
func (c *session) open(t transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = t
	c.server.heart.start(c)
	c.markLocked()
}

// end closes the session in good order: what waits in the outbox leaves, then a
// close frame. The first reason is the one that counts.
func (c *session) end(code wire.CloseCode, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endLocked(code, reason)
}

func (c *session) endLocked(code wire.CloseCode, reason string) bool {
	if c.state != living {
		return false
	}
	c.state, c.closeCode, c.closeReason = closing, code, reason
	c.ending.Store(true)
	if code == wire.CloseSlow {
		c.outbox.release(c.server) // it did not even read what it had
	}
	c.server.registry.leave(c)
	c.server.heart.linger(c)
	c.markLocked()
	return true
}

// endSlow ends a session that does not read.
func (c *session) endSlow(counter *atomic.Uint64, reason string) {
	if c.end(wire.CloseSlow, reason) {
		counter.Add(1)
	}
}

// ended is the transport's last call: the connection is no more. It is also the
// end of a session that never had one.
func (c *session) ended() {
	c.mu.Lock()
	if c.state == gone {
		c.mu.Unlock()
		return
	}
	c.state = gone
	c.ending.Store(true)
	c.outbox.release(c.server)
	c.server.counters.outboxBytes.Add(-int64(c.backlog))
	c.backlog = 0
	c.mu.Unlock()
	c.releasePartial()
	c.server.registry.remove(c)
	c.server.counters.ended.Add(1)
	c.server.backend.Ended(c.id, c.who, c.device)
}

// idle reports whether everything that was asked for has been answered, and the
// answers have left.
func (c *session) idle() bool {
	if c.unanswered.Load() > 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != living || c.conn != nil && c.outbox.empty() && c.backlog == 0
}

// hangUp ends the connection of a session whose time to go in good order is
// over.
func (c *session) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.state != gone {
		c.conn.close()
	}
}
