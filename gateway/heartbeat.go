package gateway

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleychat/parley/wire"
)

// heart is a timer wheel: one goroutine for everything that is due later, for
// all sessions. A slot holds what is due in one tick.
//
// Its time is the count of its own ticks. If the whole process stood still, the
// wheel did too, and nobody is taken for dead or slow because of us.
type heart struct {
	server *Server
	now    atomic.Int64 // ticks since the start
	period int64        // ticks of a heartbeat
	slow   int64        // ticks of Options.SlowAfter
	dead   int64        // ticks without a byte after which a session is dead

	mu    sync.Mutex // guards below
	slots [][]event
}

// tick is the grain of the wheel.
const tick = 250 * time.Millisecond

// event is what is due for a session. One of a session that has ended is
// dropped when its slot comes.
type event struct {
	session *session
	kind    eventKind
	turn    int64 // of the write that eventSlow watches
}

type eventKind uint8

const (
	eventBeat   eventKind = iota // heartbeat
	eventSilent                  // was nothing heard for too long?
	eventCheck                   // tell the count of pushes
	eventSlow                    // is that write still not read?
	eventLinger                  // the close frame has had its time
	eventExpiry                  // the token expires, or is about to
)

func newHeart(s *Server) *heart {
	h := &heart{server: s, period: ticks(s.options.Heartbeat), slow: ticks(s.options.SlowAfter) + 1}
	h.dead = missedMax*h.period + 1
	longest := max(h.period, h.slow, checkTicks, lingerTicks)
	h.slots = make([][]event, longest+1)
	return h
}

// ticks is a duration on the wheel, at least one tick. Counted from a moment
// between two ticks, the first is short: where the duration must not be, one
// more is waited for.
func ticks(d time.Duration) int64 { return max(int64((d+tick-1)/tick), 1) }

var (
	checkTicks  = ticks(checkAfter) + 1
	lingerTicks = ticks(lingerMax) + 1
	deadTicks   = ticks(deadLinger)
)

// run turns the wheel until stop is closed.
func (h *heart) run(stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var due []event
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		due = h.turn(due)
		for _, e := range due {
			h.happen(e)
		}
		clear(due)
		h.server.Flush()
	}
}

// turn goes on to the next slot and empties it. The memory of the last one is
// left there.
func (h *heart) turn(spare []event) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	slot := &h.slots[h.now.Add(1)%int64(len(h.slots))]
	due := *slot
	*slot = spare[:0]
	return due
}

// after has an event happen in so many ticks.
func (h *heart) after(delay int64, e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slot := &h.slots[(h.now.Load()+delay)%int64(len(h.slots))]
	*slot = append(*slot, e)
}

func (h *heart) happen(e event) {
	c := e.session
	switch e.kind {
	case eventBeat:
		h.beat(c)
	case eventSilent:
		h.listen(c)
	case eventCheck:
		c.checkDue()
	case eventSlow:
		if c.stuck(e.turn) {
			c.endSlow(&h.server.counters.slowReads, "nothing was read")
		}
	case eventLinger:
		c.hangUp()
	case eventExpiry:
		h.expire(c)
	}
}

// start begins the heartbeats of a session, at a random moment of the first
// period, so that a storm of connects is none of heartbeats.
func (h *heart) start(c *session) {
	c.heard.Store(h.now.Load())
	h.watchExpiry(c)
	h.after(1+rand.Int64N(h.period), event{session: c, kind: eventBeat})
}

// beat ends a session that has been silent for too long, and asks the others
// for a sign of life.
func (h *heart) beat(c *session) {
	if !h.listen(c) {
		return
	}
	// A client that went just after it was heard is not left until the beat after
	// next: the silence is looked at when it has become too long.
	if left := c.heard.Load() + h.dead - h.now.Load(); left < h.period {
		h.after(left, event{session: c, kind: eventSilent})
	}
	c.beat()
	h.watchExpiry(c)
	h.after(h.period, event{session: c, kind: eventBeat})
}

// listen ends a session of which nothing was heard for too long. It is false if
// the session is at its end.
func (h *heart) listen(c *session) bool {
	if c.ending.Load() {
		return false
	}
	if h.now.Load()-c.heard.Load() < h.dead {
		return true
	}
	if c.end(wire.CloseSlow, "no sign of life") {
		h.server.counters.dead.Add(1)
		h.after(deadTicks, event{session: c, kind: eventLinger})
	}
	return false
}

// watchExpiry looks out for the warning or the end of a token before the next
// heartbeat.
func (h *heart) watchExpiry(c *session) {
	if c.expires.IsZero() || c.expirySet {
		return
	}
	if left := ticks(time.Until(c.expiryDue())); left <= h.period {
		c.expirySet = true
		h.after(left, event{session: c, kind: eventExpiry})
	}
}

// expiryDue is when the client is to be warned, and then when it is to go.
func (c *session) expiryDue() time.Time {
	if c.warned {
		return c.expires
	}
	return c.expires.Add(-warnBefore)
}

func (h *heart) expire(c *session) {
	c.expirySet = false
	switch {
	case c.ending.Load():
		return
	case time.Until(c.expiryDue()) > 0: // the clock was put back
	case c.warned:
		if c.end(wire.CloseExpired, "the token has expired") {
			h.server.counters.expired.Add(1)
		}
		return
	default:
		c.warned = true
		c.answer(&wire.ServerMessage{TokenExpiring: &wire.TokenExpiring{ExpiresInMs: uint32(leftOf(c.expires))}})
	}
	h.watchExpiry(c)
}

// leftOf is how many milliseconds are left until then, one at least.
func leftOf(then time.Time) int64 { return max(time.Until(then).Milliseconds(), 1) }

// watch looks later whether a write has been read.
func (h *heart) watch(c *session, turn int64) {
	h.after(h.slow, event{session: c, kind: eventSlow, turn: turn})
}

// linger gives a session that was told its end time to go.
func (h *heart) linger(c *session) {
	h.after(lingerTicks, event{session: c, kind: eventLinger})
}

// checkLater has the first push that was not checked be followed by a check.
// The session's lock is held.
func (h *heart) checkLater(c *session) {
	c.checkAt = h.now.Load() + checkTicks
	if !c.checkSet {
		c.checkSet = true
		h.after(checkTicks, event{session: c, kind: eventCheck})
	}
}

// soon reports whether the check is so near that a write takes it along. The
// session's lock is held.
func (h *heart) soon(c *session) bool { return c.checkAt-h.now.Load() <= checkTicks/2 }

// checkDue sends the check, unless a write took it along and later pushes set a
// later time.
func (c *session) checkDue() {
	h := c.server.heart
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkSet = false
	if c.state != living || c.pushes == c.told {
		return
	}
	if early := c.checkAt - h.now.Load(); early > 0 {
		c.checkSet = true
		h.after(early, event{session: c, kind: eventCheck})
		return
	}
	c.checkLocked()
}
