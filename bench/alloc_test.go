package bench

import (
	"context"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// TestNoAllocationForAMessage takes a message from its sender to its recipient
// and back: composed, acknowledged, received, marked, and the mark heard of.
func TestNoAllocationForAMessage(t *testing.T) {
	r := newRun(ChatOptions{Users: 2, Conversations: 1, InFlight: 1, Receipts: true, Duration: time.Hour}.withDefaults())
	_, r.giveUp = context.WithCancelCause(t.Context())
	defer r.giveUp(nil)
	r.until.Store(int64(time.Hour))
	c := &r.conversations[0]
	c.begin(parley.ConversationID{7}, 0)
	r.byID[c.id] = 0
	sender, recipient := r.users[0], r.users[1]
	for i, u := range r.users {
		u.stream, u.inFlightMax, u.frameMax = uint64(i+1), 64, 64<<10
	}
	var seq uint64
	out := &batch{}
	sent, push, marks := &wire.ServerMessage{Sent: &wire.Sent{}}, &wire.ServerMessage{Message: &wire.Message{}}, &wire.ServerMessage{Marks: &wire.MarksChanged{}}
	message := func() {
		now := r.now()
		if err := sender.load(out, now); err != nil || len(out.out) != 1 {
			t.Fatalf("%d requests, %v", len(out.out), err)
		}
		q := out.out[0]
		seq++
		sent.ReplyTo, sent.Sent.Seq = q.Id, seq
		m := push.Message
		m.Conversation, m.Seq, m.Stream, m.Number, m.Data = q.Send.Conversation, seq, q.Send.Stream, q.Send.Number, append(m.Data[:0], q.Send.Data...)
		out.reset()
		sender.acks, recipient.delivers = sender.acks[:0], recipient.delivers[:0]
		sender.take(sent, now)
		recipient.take(push, now)
		r.latencies.record(0, sender.acks, recipient.delivers)
		if err := recipient.tellMarks(out); err != nil || len(out.out) != 1 {
			t.Fatalf("%d requests, %v", len(out.out), err)
		}
		k := out.out[0].Acknowledge.Marks[0]
		marks.Marks.Conversation, marks.Marks.Delivered, marks.Marks.Read = k.Conversation, k.Delivered, k.Read
		out.reset()
		sender.take(marks, now)
	}
	if n := testing.AllocsPerRun(1000, message); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
	if r.flaws.count > 0 || c.sides[1].got.count != seq || sender.tally.marksTold != seq {
		t.Errorf("%d messages, %d got, %d marks: %v", seq, c.sides[1].got.count, sender.tally.marksTold, r.flaws.first)
	}
}
