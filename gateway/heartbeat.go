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
	eventCheck                   // tell the count of pushes
	eventSlow                    // is that write still not read?
	eventLinger                  // the close frame has had its time
	eventExpiry                  // the token expires
)

func newHeart(s *Server) *heart {
	h := &heart{server: s, period: ticks(s.options.Heartbeat), slow: ticks(s.options.SlowAfter) + 1}
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
	c.heard.Store(true)
	h.after(1+rand.Int64N(h.period), event{session: c, kind: eventBeat})
	h.watchExpiry(c)
}

// beat ends a session that has been silent for too long, and asks the others
// for a sign of life.
func (h *heart) beat(c *session) {
	if c.ending.Load() {
		return
	}
	c.missed++
	if c.heard.Swap(false) {
		c.missed = 0
	}
	if c.missed >= missedMax {
		if c.end(wire.CloseSlow, "no sign of life") {
			h.server.counters.dead.Add(1)
		}
		return
	}
	c.beat()
	h.watchExpiry(c)
	h.after(h.period, event{session: c, kind: eventBeat})
}

// watchExpiry looks out for an expiry before the next heartbeat.
func (h *heart) watchExpiry(c *session) {
	if c.expires.IsZero() {
		return
	}
	if left := ticks(time.Until(c.expires)); left <= h.period {
		h.after(left, event{session: c, kind: eventExpiry})
	}
}

func (h *heart) expire(c *session) {
	if left := time.Until(c.expires); left > 0 {
		h.after(min(ticks(left), h.period), event{session: c, kind: eventExpiry})
		return
	}
	if c.end(wire.CloseExpired, "the token has expired") {
		h.server.counters.expired.Add(1)
	}
}

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
