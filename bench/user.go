package bench

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// user is one user with one connection. His goroutine reads; whoever holds mu
// may write.
type user struct {
	run   *run
	index int32
	conn  *client.Conn

	stream      uint64
	inFlightMax int // of sends; the server allows more, for watermarks are requests too
	frameMax    int

	mu     sync.Mutex
	ended  bool // by the server or by us
	random rand.PCG
	places []place // where he belongs

	slots    []slot // of requests that wait for their reply
	free     []uint16
	inFlight int // sends and creates

	creates []int32 // conversations that he has yet to make
	due     arrivals

	retries  []uint16 // refused, to be sent again in the order of numbers
	retryAt  time.Duration
	patience time.Duration // that the last refusal was waited for

	dirty  []int32 // places whose watermarks have risen
	pulls  []int32 // places with holes to be pulled
	pushes uint64  // counted as the protocol says

	tally tally

	// Of this wake-up.
	acks, delivers []time.Duration
}

// tally is what a user counts. It grows only.
type tally struct {
	acknowledged, delivered uint64 // inside the measured window
	refused                 uint64
	marks, marksTold        uint64 // watermarks sent, and heard of
	pushesLost, repaired    uint64
	reads, read             uint64 // wake-ups, and messages in them
	writes, written         uint64 // and requests in them
}

func (t *tally) add(o tally) {
	t.acknowledged += o.acknowledged
	t.delivered += o.delivered
	t.refused += o.refused
	t.marks += o.marks
	t.marksTold += o.marksTold
	t.pushesLost += o.pushesLost
	t.repaired += o.repaired
	t.reads += o.reads
	t.read += o.read
	t.writes += o.writes
	t.written += o.written
}

// place is a conversation as one of its two users names it.
type place struct {
	conversation int32
	side         uint8
}

// read is the goroutine of a connection: what one read brought is taken in, and
// what follows from it is written at once.
func (u *user) read() {
	for {
		messages, err := u.conn.Read()
		now := u.run.now()
		u.mu.Lock()
		if err != nil {
			u.end(err)
			u.mu.Unlock()
			return
		}
		u.tally.reads++
		u.tally.read += uint64(len(messages))
		u.acks, u.delivers = u.acks[:0], u.delivers[:0]
		for _, m := range messages {
			u.take(m, now)
		}
		u.proceed(now)
		if len(u.acks)+len(u.delivers) > 0 {
			u.run.latencies.record(u.index, u.acks, u.delivers)
		}
		u.mu.Unlock()
	}
}

func (u *user) end(err error) {
	if u.ended {
		return
	}
	u.ended = true
	u.run.flaws.add(newFlaw(disconnected, "user %d: %v", u.index, err))
	u.run.dead.Add(1)
}

// take takes in one message of the server.
func (u *user) take(m *wire.ServerMessage, now time.Duration) {
	if m.ReplyTo != 0 {
		u.answered(m, now)
		return
	}
	switch {
	case m.Message != nil:
		u.pushes++
		u.message(m.Message, now)
	case m.Marks != nil:
		u.pushes++
		u.peerMarks(m.Marks)
	case m.State != nil:
		u.pushes++
	case m.Check != nil:
		u.check(m.Check.Pushes)
	case m.Error != nil:
		// A refusal of watermarks. They are cumulative, so the next ones say it
		// all, and the last ones are sent again when the load is over.
		u.tally.refused++
		if !parley.Code(m.Error.Code).Retry() {
			u.run.flaws.add(newFlaw(refused, "user %d: watermarks: %s (%d) %s", u.index, m.Error.Name, m.Error.Code, m.Error.Message))
		}
	}
}

// conversation is the one at a place.
func (u *user) conversation(p int32) *conversation {
	return &u.run.conversations[u.places[p].conversation]
}

// side is his side of the conversation at a place.
func (u *user) side(p int32) *side {
	return &u.conversation(p).sides[u.places[p].side]
}
