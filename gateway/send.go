package gateway

import (
	"sync"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/mutant"
	"github.com/parleychat/parley/wire"
)

// reply puts the answer of one request in the outbox; nil is no answer.
func (c *session) reply(m *wire.ServerMessage) {
	if m != nil {
		c.answer(m)
	}
	// Only now, so that a session that has none unanswered has them all in its
	// outbox.
	c.unanswered.Add(-1)
}

// answer puts a message in the outbox that must not be dropped: past the limit
// the session is.
func (c *session) answer(m *wire.ServerMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != living {
		return
	}
	if c.outbox.payload()+c.backlog > c.server.options.ReplyBytesMax {
		c.endLocked(wire.CloseSlow, "replies are not read")
		c.server.counters.slowReplies.Add(1)
		return
	}
	c.outbox.add(c.server, c.protocol, m)
	c.markLocked()
}

// push puts a push in the outbox, or drops it. It is counted either way.
func (c *session) push(item []byte) {
	s := c.server
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != living {
		return
	}
	if c.pushes == c.told {
		s.heart.checkLater(c)
	}
	c.pushes++
	switch {
	case mutant.On(mutant.PushDropped):
	case c.outbox.payload()+c.backlog+len(item) > s.options.PushBytesMax:
		s.counters.outboxes.Add(1)
	case s.counters.outboxBytes.Load() > int64(s.options.OutboxBytesMax):
		s.counters.memory.Add(1)
	default:
		c.outbox.addEncoded(s, item)
		c.markLocked()
	}
}

// hint puts a hint in the outbox, or drops it. Nobody counts it.
func (c *session) hint(item []byte) {
	s := c.server
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state != living:
	case c.outbox.payload()+c.backlog+len(item) > s.options.HintBytesMax,
		s.counters.outboxBytes.Load() > int64(s.options.OutboxBytesMax):
		s.counters.hintsDropped.Add(1)
	default:
		s.counters.hints.Add(1)
		c.outbox.addEncoded(s, item)
		c.markLocked()
	}
}

// checkLocked tells the client how many pushes there were.
func (c *session) checkLocked() {
	c.told = c.pushes
	c.outbox.add(c.server, c.protocol, &wire.ServerMessage{Check: &wire.Check{Pushes: c.pushes}})
	c.markLocked()
}

// beat asks the client for a sign of life, and tells it the count of pushes.
func (c *session) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == living {
		c.outbox.ping = true
		c.checkLocked()
	}
}

// pong answers a ping.
func (c *session) pong(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == living {
		c.outbox.answerPing(payload)
		c.markLocked()
	}
}

// encoding is a push that is encoded when the first session of a subprotocol
// needs it, once.
type encoding struct {
	binary, json []byte
}

var encodings = sync.Pool{New: func() any { return new(encoding) }}

func (e *encoding) of(m *wire.ServerMessage, p wire.Subprotocol) []byte {
	b := &e.binary
	if p == wire.JSON {
		b = &e.json
	}
	if len(*b) == 0 {
		*b = wire.AppendServerMessage(*b, p, m)
	}
	return *b
}

// encodingKept is the size of the buffers that are used again.
const encodingKept = 64 << 10

func (e *encoding) release() {
	if cap(e.binary)+cap(e.json) > encodingKept {
		return
	}
	e.binary, e.json = e.binary[:0], e.json[:0]
	encodings.Put(e)
}

// Reply gives a session the answer of one of its requests. A nil m says that a
// request with id 0 was done. m may be used again afterwards.
//
// Reply, Push, Hint and Online may be called from any goroutine, and wait for no
// socket. Flush ends a batch of them.
func (s *Server) Reply(session wire.SessionID, m *wire.ServerMessage) {
	if c := s.registry.find(session); c != nil {
		c.reply(m)
	}
}

// Push gives a message to every session of these users but one, which knows it
// already; none has the id 0. m is encoded once for each subprotocol, and may be
// used again afterwards.
func (s *Server) Push(to []parley.UserID, but wire.SessionID, m *wire.ServerMessage) {
	var e *encoding
	count := uint64(0)
	for _, user := range to {
		for _, c := range s.registry.of(user) {
			if c.id == but {
				continue
			}
			if e == nil {
				e = encodings.Get().(*encoding)
			}
			c.push(e.of(m, c.protocol))
			count++
		}
	}
	if e != nil {
		e.release()
		s.counters.pushes.Add(count)
	}
}

// Hint gives a message to some sessions, at once or never: it is not counted, and
// dropped for those that have not read what came before. m is encoded once for
// each subprotocol, and may be used again afterwards.
func (s *Server) Hint(sessions []wire.SessionID, m *wire.ServerMessage) {
	var e *encoding
	for _, id := range sessions {
		c := s.registry.find(id)
		if c == nil {
			continue
		}
		if e == nil {
			e = encodings.Get().(*encoding)
		}
		c.hint(e.of(m, c.protocol))
	}
	if e != nil {
		e.release()
	}
}

// Online reports whether a user has a session here besides one, or any if that
// is 0.
func (s *Server) Online(u parley.UserID, but wire.SessionID) bool {
	for _, c := range s.registry.of(u) {
		if c.id != but {
			return true
		}
	}
	return false
}
