package client

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func TestSyncGoesThroughAllPages(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		store := NewMemoryStore()
		d := start(t, testOptions(s, p, store))
		e := s.greet(77, 5)
		isSync := func(q *wire.Request) bool { return q.Sync != nil }
		q := e.expect("sync", isSync)
		if len(q.Sync.Cursor) != 0 {
			t.Fatalf("first cursor = %q", q.Sync.Cursor)
		}
		e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{States: []*wire.State{state(1, 0, 1, 0, 0, 0)}, Cursor: []byte("half"), More: true, Incarnation: 5}})
		q = e.expect("sync", isSync)
		if string(q.Sync.Cursor) != "half" {
			t.Fatalf("second cursor = %q", q.Sync.Cursor)
		}
		// Cut short, it begins anew.
		e.cut()
		e = s.greet(78, 5)
		q = e.expect("sync", isSync)
		if len(q.Sync.Cursor) != 0 {
			t.Fatalf("cursor after half a sync = %q", q.Sync.Cursor)
		}
		e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{States: []*wire.State{state(1, 0, 1, 0, 0, 0)}, Cursor: []byte("half"), More: true, Incarnation: 5}})
		q = e.expect("sync", isSync)
		e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{States: []*wire.State{state(2, 0, 1, 0, 0, 0)}, Cursor: []byte("whole"), Authoritative: true, Incarnation: 5}})
		d.untilSynced()
		if n := len(d.Conversations()); n != 2 {
			t.Fatalf("%d conversations", n)
		}
		e.cut()
		e = s.greet(79, 5)
		q = e.expect("sync", isSync)
		if string(q.Sync.Cursor) != "whole" {
			t.Fatalf("cursor after a whole sync = %q", q.Sync.Cursor)
		}
	})
}

func TestSyncSaysWhatIsGone(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0), state(3, 0, 1, 0, 0, 0))
	d.untilSynced()
	isSync := func(q *wire.Request) bool { return q.Sync != nil }
	for _, c := range []struct {
		page *wire.SyncPage
		want int
	}{
		{&wire.SyncPage{Incarnation: 5}, 3},
		{&wire.SyncPage{Incarnation: 5, Authoritative: true, Unavailable: true, States: []*wire.State{state(1, 0, 1, 0, 0, 0)}}, 3},
		// The third was heard of while the sync was on its way.
		{&wire.SyncPage{Incarnation: 5, Authoritative: true, States: []*wire.State{state(1, 0, 1, 0, 0, 0)}}, 2},
	} {
		e.push(&wire.ServerMessage{Check: &wire.Check{Pushes: e.pushes + 1}})
		e.pushes++
		q := e.expect("sync", isSync)
		if c.want == 2 {
			e.push(&wire.ServerMessage{State: state(3, 0, 2, 0, 0, 0)})
		}
		e.answer(q, &wire.ServerMessage{SyncPage: c.page})
		d.until("the sync is over", func() bool { d.Client.mu.Lock(); defer d.Client.mu.Unlock(); return d.connection.Synced })
		d.until(fmt.Sprintf("%d conversations are left", c.want), func() bool { return len(d.Conversations()) == c.want })
	}
	event(d, func(x Gone) bool { return x.Conversation == room(2) })
}

func TestLeavingKeepsWhatIsHeld(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.push(push(message(1, 1)))
	d.untilReceived(room(1), "1:m1")
	id := room(1)
	e.push(&wire.ServerMessage{State: &wire.State{Conversation: id[:], Version: 5, Left: true}})
	v := event(d, func(x Changed) bool { return x.Conversation.Left }).Conversation
	if v.Unread() != 0 || v.Role != 0 {
		t.Fatalf("left: %+v", v)
	}
	if m, _, err := d.Messages(room(1), parley.SeqRange{}); err != nil || len(m) != 1 {
		t.Fatalf("after leaving: %v, %v", m, err)
	}
	e.push(&wire.ServerMessage{State: state(1, 3, 7, 3, 3, 0)}) // added again
	d.until("it belongs again", func() bool { return !d.conversation(room(1)).Left })
}

// A push that follows a lost one shows the gap; the events have none.
func TestGapIsFilled(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		d.untilSynced()
		e.push(push(message(1, 1)), push(message(1, 4)), push(message(1, 5)))
		q := e.expectHistory(2, 3, false)
		e.push(push(message(1, 6)), push(message(1, 6)))
		e.quiet() // one request for the conversation
		d.untilReceived(room(1), "1:m1")
		e.answer(q, page(1, 2, 3, 6))
		d.untilReceived(room(1), "1:m1 2:m2 3:m3 4:m4 5:m5 6:m6")
		if n := d.conversation(room(1)).Unread(); n != 6 {
			t.Fatalf("unread = %d", n)
		}
		e.expectMark(6, 0)
	})
}

// While a message is missing, nothing above it is acknowledged as delivered.
func TestDeliveredIsTheContiguousPrefix(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 7, 7, 7, 7, 0), state(2, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.push(push(message(1, 8)), push(message(1, 10)), push(message(2, 1)))
	q := e.expectHistory(9, 9, false)
	id, other := room(1), room(2)
	for len(e.marks) < 2 { // both in one request, or one after the other
		a := e.expect("acknowledgement", func(q *wire.Request) bool { return q.Acknowledge != nil })
		e.marks = append(e.marks, a.Acknowledge.Marks...)
		e.answer(a, &wire.ServerMessage{Done: &wire.Done{}})
	}
	for _, m := range e.marks {
		if string(m.Conversation) == string(id[:]) && m.Delivered != 8 || string(m.Conversation) == string(other[:]) && m.Delivered != 1 {
			t.Fatalf("acknowledged %v", e.marks)
		}
	}
	e.marks = nil
	e.answer(q, page(1, 9, 9, 10))
	e.expectMark(10, 7)
	if v := d.conversation(room(1)); v.Marks.Read != 7 || v.Unread() != 3 {
		t.Fatalf("delivering has read: %+v", v)
	}
}

// A conversation with a million missed: its newest page, and a hole.
func TestLongAbsenceLeavesAHole(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 3, 3, 0, 0, 0))
		e.answer(e.expectHistory(1, 3, false), page(1, 1, 3, 3))
		d.untilReceived(room(1), "1:m1 2:m2 3:m3")
		e.expectMark(3, 0)
		e.cut()
		const last = 1_000_000
		e = s.greetSynced(78, 5, state(1, last, last, 3, 0, 0))
		e.answer(e.expectHistory(0, last, true), page(1, last-199, last, last))
		d.until("the newest page is there", func() bool { return strings.HasSuffix(d.received(room(1)), fmt.Sprint(last, ":m", last)) })
		if got := d.received(room(1)); !strings.HasPrefix(got, fmt.Sprintf("1:m1 2:m2 3:m3 [4-%d] %d:m%d ", last-200, last-199, last-199)) {
			t.Fatalf("received %.80q", got)
		}
		v := d.conversation(room(1))
		if v.Unread() != last || v.Marks.Delivered != 3 {
			t.Fatalf("unread %d, delivered %d", v.Unread(), v.Marks.Delivered)
		}
		e.push(push(message(1, last+1))) // the tail goes on
		d.until("the tail goes on", func() bool { return strings.HasSuffix(d.received(room(1)), fmt.Sprint(" ", last+1, ":m", last+1)) })

		messages, holes, err := d.Messages(room(1), parley.SeqRange{From: last - 250})
		if err != nil || len(messages) != 201 || len(holes) != 1 || holes[0] != (parley.SeqRange{From: last - 250, To: last - 200}) {
			t.Fatalf("%d messages, holes %v, %v", len(messages), holes, err)
		}
		got := make(chan error, 1)
		go func() {
			m, err := d.History(t.Context(), room(1), parley.SeqRange{From: last - 250, To: last})
			if err == nil && len(m) != 251 {
				err = fmt.Errorf("%d messages", len(m))
			}
			got <- err
		}()
		q := e.expectHistory(last-250, last-200, true)
		e.answer(q, page(1, last-230, last-200, last+1)) // shorter than asked for
		q = e.expectHistory(last-250, last-231, true)
		e.answer(q, page(1, last-250, last-231, last+1))
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
}

// A state that comes while a page is on its way, and whose message does not
// come, has the rest read too.
func TestGrowthDuringAPageIsRead(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.CatchUpMax = 300
	start(t, o)
	e := s.greetSynced(7, 1, state(1, 1000, 1000, 0, 0, 0))
	q := e.expectHistory(0, 1000, true)
	e.push(&wire.ServerMessage{State: state(1, 1001, 1001, 0, 0, 0)})
	e.answer(q, page(1, 801, 1000, 1000))
	e.expectHistory(0, 1001, true)
}

// What the user does not see is held all the same: it is no hole.
func TestWithheldIsNoHole(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 6, 6, 0, 0, 0))
	p := page(1, 4, 6, 6)
	p.Page.From = 1
	p.Page.Items = append([]*wire.Item{{Withheld: &wire.Withheld{From: 1, To: 3, Reason: wire.Withheld_NOT_YOURS}}}, p.Page.Items...)
	e.answer(e.expectHistory(1, 6, false), p)
	d.untilReceived(room(1), "4:m4 5:m5 6:m6")
	if _, holes, err := d.Messages(room(1), parley.SeqRange{}); err != nil || len(holes) != 0 {
		t.Fatalf("holes %v, %v", holes, err)
	}
	e.expectMark(6, 0)
}

func TestCheckFindsLostPushes(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		d.untilSynced()
		e.push(push(message(1, 1)), &wire.ServerMessage{Check: &wire.Check{Pushes: 1}})
		e.expectMark(1, 0)
		e.quiet() // nothing was lost
		e.pushes += 2
		e.push(&wire.ServerMessage{Check: &wire.Check{Pushes: e.pushes}})
		e.answerSync(state(1, 2, 3, 1, 1, 0))
		e.answer(e.expectHistory(2, 2, false), page(1, 2, 2, 2))
		d.untilReceived(room(1), "1:m1 2:m2")
		e.push(&wire.ServerMessage{Check: &wire.Check{Pushes: e.pushes}})
		e.expectMark(2, 1)
		e.quiet() // it counts on from the server's number
		if v := d.conversation(room(1)); v.Marks.Read != 1 || v.Unread() != 1 {
			t.Fatalf("after the repair: %+v", v)
		}
	})
}

// States, messages and marks come in any order; none takes back another.
func TestNothingFalls(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	a := d.send(room(1), "a")
	e.sent(e.expectSend(77, 1, "a"), 1)
	id := room(1)
	e.push(&wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], Version: 3, User: "bob", Delivered: 1, Read: 1}})
	d.untilStatus(a.ID, Read)
	e.push(push(message(1, 2)))
	old := state(1, 1, 2, 1, 0, 1) // from before the marks and the message
	old.MutedUntil = 9
	e.push(&wire.ServerMessage{State: old},
		&wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], Version: 2, User: "bob", Delivered: 1}})
	d.until("the setting in it is there", func() bool { return d.conversation(room(1)).MutedUntil.UnixMicro() == 9 })
	older := state(1, 0, 1, 0, 0, 0)
	e.push(&wire.ServerMessage{State: older})
	e.push(push(message(1, 3)))
	d.untilReceived(room(1), "1:a 2:m2 3:m3")
	v := d.conversation(room(1))
	if x, err := d.Draft(a.ID); err != nil || x.Status != Read {
		t.Fatalf("the tick fell to %v, %v", x.Status, err)
	}
	if v.Unread() != 2 || v.MutedUntil.UnixMicro() != 9 || v.Last != 3 {
		t.Fatalf("state = %+v, unread %d", v, v.Unread())
	}
	if err := d.MarkRead(room(1), 2); err != nil {
		t.Fatal(err)
	}
	v = d.conversation(room(1))
	if v.Unread() != 1 || v.Marks.Read != 2 {
		t.Fatalf("unread after reading 2 of 3: %d", v.Unread())
	}
	e.push(&wire.ServerMessage{State: state(1, 3, 5, 3, 1, 1)}) // read on no other device
	e.push(push(message(1, 4)))
	d.untilReceived(room(1), "1:a 2:m2 3:m3 4:m4")
	if v = d.conversation(room(1)); v.Marks.Read != 2 || v.Unread() != 2 {
		t.Fatalf("a mark of before: read %d, unread %d", v.Marks.Read, v.Unread())
	}
	if err := d.MarkRead(room(1), 1); err != nil || d.conversation(room(1)).Marks.Read != 2 {
		t.Fatalf("a lower mark: %v", err)
	}
}

func TestReadingOfflineIsToldLater(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "ann.db")
	d := start(t, testOptions(s, wire.Binary, openFile(t, file)))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.push(push(message(1, 1)), push(message(1, 2)))
	e.expectMark(2, 0)
	s.refuseWith(503)
	e.cut()
	if err := d.MarkRead(room(1), 0); err != nil {
		t.Fatal(err)
	}
	if n := d.conversation(room(1)).Unread(); n != 0 {
		t.Fatalf("unread = %d", n)
	}
	d.stop()
	d = start(t, testOptions(s, wire.Binary, openFile(t, file)))
	if v := d.conversation(room(1)); v.Unread() != 0 || v.Marks.Read != 2 {
		t.Fatalf("after a restart: %+v", v)
	}
	s.refuseWith(0)
	e = s.greetSynced(78, 5, state(1, 2, 3, 2, 0, 0))
	e.expectMark(2, 2)
	d.until("the server has confirmed it", func() bool { return d.conversation(room(1)).Confirmed.Read == 2 })
}

func TestMarksAreTriedAgain(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.push(push(message(1, 1)))
	for range 2 {
		q := e.expect("acknowledgement", func(q *wire.Request) bool { return q.Acknowledge != nil })
		e.refuse(q, parley.Overloaded, 0)
	}
	e.expectMark(1, 0)
}

// A message of a conversation that nobody told of: its state is asked for, and
// what another device has already is not told again.
func TestUnknownConversation(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5)
	d.untilSynced()
	e.push(push(message(1, 5)))
	q := e.expect("state", func(q *wire.Request) bool { return q.State != nil })
	e.quiet()
	if got := d.received(room(1)); got != "" {
		t.Fatalf("received %q before the state", got)
	}
	e.answer(q, &wire.ServerMessage{State: state(1, 5, 9, 3, 3, 0)})
	e.answer(e.expectHistory(4, 4, false), page(1, 4, 4, 5))
	d.untilReceived(room(1), "4:m4 5:m5")
}

// The server was restored from a copy in which our last two messages, and one of
// bob's, are not; others have taken their sequences since.
func TestRestoredServer(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		file := filepath.Join(t.TempDir(), "ann.db")
		d := start(t, testOptions(s, p, openFile(t, file)))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0), state(3, 0, 1, 0, 0, 0))
		d.untilSynced()
		var own []Draft
		for i, text := range []string{"a1", "a2", "a3"} {
			own = append(own, d.send(room(1), text))
			e.sent(e.expectSend(77, uint32(i+1), text), uint64(i+1))
		}
		e.push(push(message(1, 4)), push(message(2, 1)), push(message(2, 2)), push(message(3, 1)))
		d.untilReceived(room(1), "1:a1 2:a2 3:a3 4:m4")
		d.untilReceived(room(3), "1:m1")
		stored, fresh := d.send(room(2), "stored"), d.send(room(2), "fresh")
		e.expectSend(77, 1, "stored")
		e.expectSend(77, 2, "fresh")
		e.cut()

		e = s.greet(99, 6)
		e.pushes++
		e.push(push(mine(message(1, 2), 50, 1, "other"))) // a push before the sync: it waits
		q := e.expect("sync", func(q *wire.Request) bool { return q.Sync != nil })
		if len(q.Sync.Cursor) != 0 {
			t.Fatalf("the old cursor %q was used", q.Sync.Cursor)
		}
		// Of room 1 only a1 is in the copy; bob has sent two others since. Room 3
		// is not in it at all.
		e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{
			States: []*wire.State{state(1, 3, 3, 1, 0, 1), state(2, 2, 3, 2, 0, 0)}, Cursor: []byte("new"), Authoritative: true, Incarnation: 6,
		}})
		theirs := []*wire.Message{mine(message(1, 1), 77, 1, "a1"), message(1, 2), message(1, 3)}
		theirs[1].Text, theirs[2].Text = "b2", "b3"
		e.also = func(q *wire.Request) bool {
			switch {
			case q.Sync != nil: // once more, for the push that had to wait
				e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{Cursor: []byte("new"), Incarnation: 6}})
			case q.History != nil && string(q.History.Conversation) == string(theirs[0].Conversation):
				if h := q.History; h.To != 3 || h.From > 2 {
					t.Errorf("asked for %v", h)
				}
				e.answer(q, page(1, 1, 3, 3, theirs...))
			case q.History != nil:
				e.answer(q, page(2, 1, 2, 2))
			}
			return q.Sync != nil || q.History != nil
		}
		e.sent(e.expectFind(77, 1), 3) // it is in the copy
		e.refuse(e.expectFind(77, 2), parley.ResendUnknown, 0)
		e.sent(e.expectSend(99, 1, "fresh"), 4)
		d.untilStatus(stored.ID, Sent)
		d.untilStatus(fresh.ID, Sent)
		// Our two are offered to be sent again, the other is where it was.
		d.untilStatus(own[0].ID, Sent)
		wantErr(t, d.untilStatus(own[1].ID, Failed), ErrRestored)
		wantErr(t, d.untilStatus(own[2].ID, Failed), ErrRestored)
		if x, err := d.Draft(own[1].ID); err != nil || string(x.Body) != "a2" {
			t.Fatalf("the lost message: %+v, %v", x, err)
		}
		event(d, func(x Restored) bool { return x.Conversation == room(1) && x.From == 2 })
		event(d, func(x Gone) bool { return x.Conversation == room(3) })
		answering := make(chan struct{})
		go func() { // whatever else it asks for
			defer close(answering)
			for {
				select {
				case q := <-e.requests:
					if q.Acknowledge != nil {
						e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
					} else if !e.also(q) && q.Send == nil {
						t.Errorf("came %v", q)
					}
				case <-e.ended:
					return
				}
			}
		}()
		d.until("what is there now is held", func() bool {
			m, holes, err := d.Messages(room(1), parley.SeqRange{})
			return err == nil && len(holes) == 0 && texts(m) == "a1 b2 b3"
		})
		d.until("and told", func() bool { return strings.HasSuffix(d.received(room(1)), "2:b2 3:b3") })
		if v := d.conversation(room(1)); v.Unread() != 2 || v.Marks.Delivered > 3 {
			t.Fatalf("unread %d, %+v", v.Unread(), v)
		}
		again, err := d.Resend(own[1].ID)
		if err != nil || again.Stream != 99 {
			t.Fatalf("resend: %+v, %v", again, err)
		}
		d.stop()
		e.wait()
		<-answering
	})
}

func texts(messages []Message) string {
	var all []string
	for i := range messages {
		all = append(all, messages[i].Text())
	}
	return strings.Join(all, " ")
}

func TestMessagesOfWhatIsNotHeld(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	if _, _, err := d.Messages(room(1), parley.SeqRange{}); !errors.Is(err, ErrUnknown) {
		t.Fatalf("messages: %v", err)
	}
	if _, err := d.Conversation(room(1)); !errors.Is(err, ErrUnknown) {
		t.Fatalf("conversation: %v", err)
	}
	if err := d.MarkRead(room(1), 1); !errors.Is(err, ErrUnknown) {
		t.Fatalf("mark read: %v", err)
	}
	if _, err := d.Draft(1); !errors.Is(err, ErrUnknown) {
		t.Fatalf("draft: %v", err)
	}
}
