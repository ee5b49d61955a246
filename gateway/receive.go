package gateway

import (
	"errors"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

var partials bytebufferpool.Pool

// received takes what the connection read. b is borrowed, and changed.
func (c *session) received(b []byte) {
	if now := c.server.heart.now.Load(); c.heard.Load() != now {
		c.heard.Store(now)
	}
	if c.partial != nil {
		c.partial.B = append(c.partial.B, b...)
		b = c.partial.B
	}
	c.keep(c.consume(b))
	if c.answered {
		c.answered = false
		c.server.Flush()
	}
}

// consume handles the whole frames in b and returns the rest.
func (c *session) consume(b []byte) []byte {
	for len(b) > 0 {
		if c.ending.Load() {
			return nil
		}
		frame, n, err := c.frames.Next(b)
		if err != nil {
			c.refuseFrame(err)
			return nil
		}
		if n == 0 {
			break
		}
		b = b[n:]
		c.handle(frame)
	}
	return b
}

// keep saves the beginning of a frame for the next read. It is at most one
// frame of FrameMax, for a longer one is refused by its header.
func (c *session) keep(rest []byte) {
	if len(rest) == 0 {
		c.releasePartial()
		return
	}
	if c.partial == nil {
		c.partial = partials.Get()
	}
	c.partial.B = append(c.partial.B[:0], rest...) // it may overlap; append moves
}

func (c *session) releasePartial() {
	if c.partial != nil {
		partials.Put(c.partial)
		c.partial = nil
	}
}

// handle acts on one frame.
func (c *session) handle(frame wire.Frame) {
	switch frame.Opcode {
	case wire.OpText, wire.OpBinary:
		c.message(frame)
	case wire.OpClose:
		c.closedByPeer(frame.Payload)
	case wire.OpPing:
		if c.allow(1) {
			c.pong(frame.Payload)
			c.answered = true
		}
	default: // a pong, or a fragment that was put aside
		c.allow(1)
	}
}

// message hands the requests of a WebSocket message to the backend.
func (c *session) message(frame wire.Frame) {
	s := c.server
	if frame.Opcode != c.protocol.Opcode() {
		c.refuse(wire.CloseUnsupported, "the subprotocol has "+c.protocol.Opcode().String()+" messages")
		s.counters.badMessages.Add(1)
		return
	}
	requests, err := s.decoder.Decode(c.protocol, frame.Payload)
	if err != nil {
		c.refuse(wire.CloseBadMessage, err.Error())
		s.counters.badMessages.Add(1)
		return
	}
	if !c.allow(len(requests)) {
		c.refuseRequests(requests, parley.Overloaded)
		return
	}
	c.submit(requests)
}

// submit gives the backend as many requests as may be unanswered, and refuses
// the rest, so that the order of those that go through is the client's.
func (c *session) submit(requests []*wire.Request) {
	s := c.server
	room := max(s.options.RequestsMax-int(c.unanswered.Load()), 0)
	if len(requests) > room {
		s.counters.tooManyRequests.Add(uint64(len(requests) - room))
		c.refuseRequests(requests[room:], parley.Overloaded)
		requests = requests[:room]
	}
	if len(requests) == 0 {
		return
	}
	// Drain looks at unanswered after it has set draining, and we look at
	// draining after we have changed unanswered: one of us sees the other.
	c.unanswered.Add(int32(len(requests)))
	if s.draining.Load() {
		c.unanswered.Add(-int32(len(requests)))
		s.counters.stopping.Add(uint64(len(requests)))
		c.refuseRequests(requests, parley.Stopping)
		return
	}
	if !c.claim(requests) {
		c.unanswered.Add(-int32(len(requests)))
		return
	}
	s.counters.requests.Add(uint64(len(requests)))
	s.backend.Submit(c.id, c.who, requests)
}

// claim makes the session the one that uses the streams of its sends. A stream
// is one client's outbox: where two sessions of the user send with it, the older
// is that client's connection of before, of which bytes may still come. Taken
// behind what the client sends now, they could give a number that was refused,
// and is in use again, its former body. So the older one ends, whichever of the
// two sent last. It is false if that is this one, and nothing of it is taken.
func (c *session) claim(requests []*wire.Request) bool {
	for _, r := range requests {
		if r.Send == nil || r.Send.Stream == c.stream.Load() {
			continue
		}
		c.stream.Store(r.Send.Stream)
		for _, other := range c.server.registry.of(c.who.User) {
			if other == c || other.stream.Load() != r.Send.Stream {
				continue
			}
			c.answered = true // a close frame is to be written
			if other.youngerThan(c) {
				c.replace()
				return false
			}
			other.replace()
		}
	}
	return true
}

// replace ends a session whose stream a younger one uses.
func (c *session) replace() {
	if c.end(wire.CloseReplaced, "its stream is used by another connection") {
		c.server.counters.replaced.Add(1)
	}
}

// allow asks the limiter for n requests at once: a WebSocket message goes
// through whole or not at all. A client whose refused requests outnumber the
// others by a whole burst does not listen, and is closed.
func (c *session) allow(n int) bool {
	s := c.server
	if c.limiter.AllowN(time.Now(), n) {
		c.excess = max(c.excess-n, 0)
		return true
	}
	s.counters.rate.Add(uint64(n))
	c.excess += n
	if c.excess > s.options.burst() {
		c.refuse(wire.CloseTooManyRequests, "refusals were not heeded")
		s.counters.floods.Add(1)
	}
	return false
}

// retryAfter is what a refused client is told to wait, in milliseconds.
const retryAfter = 200

// refuseRequests answers requests without asking the backend.
func (c *session) refuseRequests(requests []*wire.Request, code parley.Code) {
	c.answered = true
	refusal := wire.Error{Code: uint32(code), Name: code.String(), RetryAfterMs: retryAfter}
	m := wire.ServerMessage{Error: &refusal}
	for _, r := range requests {
		m.ReplyTo = r.Id
		c.answer(&m)
	}
}

// refuseFrame ends a session whose bytes are no frames.
func (c *session) refuseFrame(err error) {
	code, reason := wire.CloseProtocol, err.Error()
	if e, ok := errors.AsType[*wire.ProtocolError](err); ok {
		code, reason = e.Code, e.Reason
	}
	c.refuse(code, reason)
	c.server.counters.badFrames.Add(1)
}

// refuse ends a session for what it sent.
func (c *session) refuse(code wire.CloseCode, reason string) {
	c.end(code, reason)
	c.answered = true
}

// closedByPeer answers a close frame with the same code.
func (c *session) closedByPeer(payload []byte) {
	code, _, err := wire.ParseClose(payload)
	if err != nil {
		c.refuseFrame(err)
		return
	}
	c.mu.Lock()
	c.peerClosed = true
	c.mu.Unlock()
	c.refuse(code, "")
}
