//go:build !race

package gateway

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// TestHotPathAllocatesNothing counts from the bytes that a socket read to the
// reply and the push that were written.
func TestHotPathAllocatesNothing(t *testing.T) {
	s, b := newFakeServer(t, Options{RequestsPerSecond: 1 << 30, Heartbeat: time.Hour})
	ann, bob := sinkSession(t, s, "ann"), sinkSession(t, s, "bob")
	to := []parley.UserID{user("ann"), user("bob")}
	reply := &wire.ServerMessage{Sent: &wire.Sent{Seq: 5, Version: 6, At: 7}}
	push := message(5)
	b.submit = func(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
		for _, r := range requests {
			reply.ReplyTo = r.Id
			s.Reply(session, reply)
			s.Push(to, session, push)
		}
		s.Flush()
	}
	batch := make([]*wire.Request, 64)
	for i := range batch {
		batch[i] = send(uint32(i+1), 3)
	}
	sent := clientMessage(wire.Binary, batch...)
	read := make([]byte, len(sent))
	round := func() {
		copy(read, sent)
		ann.received(read)
		for s.counters.outboxBytes.Load() > 0 {
			runtime.Gosched()
		}
	}
	for range 100 {
		round()
	}
	before := s.Stats()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations for %d sends, their replies and their pushes", n, len(batch))
	}
	after := s.Stats()
	if frames, writes := after.Frames-before.Frames, after.Writes-before.Writes; frames < 1001*2*64 || writes > 2*1001+100 {
		t.Errorf("%d frames in %d writes", frames, writes)
	}
	ann.ended()
	bob.ended()
	closeFake(t, s, b)
}

// TestIdleSessionIsSmall counts what sessions keep after they have been used.
func TestIdleSessionIsSmall(t *testing.T) {
	s, b := newFakeServer(t, Options{Heartbeat: time.Hour})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the pools held is given back by the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const count = 4000
	sessions := make([]*session, count)
	sent := clientMessage(wire.Binary, send(1, 3))
	read := make([]byte, len(sent))
	before := heap()
	for i := range sessions {
		c := sinkSession(t, s, fmt.Sprint("user", i))
		copy(read, sent)
		c.received(read[:20])
		c.received(read[20:])
		s.Push([]parley.UserID{c.who.User}, 0, message(1))
		s.Flush()
		sessions[i] = c
	}
	each := (heap() - before) / count
	t.Logf("%d bytes a session", each)
	if each > 2<<10 {
		t.Errorf("%d bytes a session", each)
	}
	for _, c := range sessions {
		c.ended()
	}
	closeFake(t, s, b)
}
