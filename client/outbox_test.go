package client

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func TestDraftsWaitForAConnection(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		s.refuseWith(503)
		o := testOptions(s, p, nil)
		d := start(t, o)
		var drafts []Draft
		for i := range 3 {
			drafts = append(drafts, d.send(room(1), fmt.Sprintf("t%d", i+1)))
		}
		if x := drafts[2]; x.Status != Queued || x.Number != 3 || x.Stream != 0 {
			t.Fatalf("third draft = %+v", x)
		}
		s.refuseWith(0)
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		var q []*wire.Request
		for i := range 3 { // pipelined: none is answered yet
			q = append(q, e.expectSend(77, uint32(i+1), fmt.Sprintf("t%d", i+1)))
		}
		for i := range 3 {
			e.sent(q[i], uint64(i+1))
			got := d.untilStatus(drafts[i].ID, Sent)
			if got.Seq != parley.Seq(i+1) || got.Stream != 77 || !got.At.Equal(time.Unix(int64(i+1), 0)) {
				t.Fatalf("sent draft = %+v", got)
			}
		}
		d.untilReceived(room(1), "1:t1 2:t2 3:t3")
		id := room(1)
		e.push(&wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], Version: 9, User: "bob", Delivered: 2, Read: 1}})
		d.untilStatus(drafts[0].ID, Read)
		d.untilStatus(drafts[1].ID, Delivered)
		d.untilStatus(drafts[2].ID, Sent)
		if n := d.conversation(room(1)).Unread(); n != 0 {
			t.Fatalf("own messages are unread: %d", n)
		}
	})
}

// A pipelined client with a refusal in the middle: the drafts behind it are
// refused with it, and none overtakes another.
func TestRefusalInTheMiddleKeepsOrder(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		d.untilSynced()
		var drafts []Draft
		for _, text := range []string{"one", "two", "three", "four"} {
			drafts = append(drafts, d.send(room(1), text))
		}
		one, two := e.expectSend(77, 1, "one"), e.expectSend(77, 2, "two")
		three, four := e.expectSend(77, 3, "three"), e.expectSend(77, 4, "four")
		e.sent(one, 1)
		e.refuse(two, parley.NotAllowed, 0)
		wantErr(t, d.untilStatus(drafts[1].ID, Failed), parley.NotAllowed)
		e.refuse(three, parley.RetryInOrder, 2)
		e.quiet() // four is unanswered, so nothing may be numbered anew yet
		e.refuse(four, parley.RetryInOrder, 2)
		three, four = e.expectSend(77, 2, "three"), e.expectSend(77, 3, "four")
		e.sent(three, 2)
		e.sent(four, 3)
		d.untilStatus(drafts[3].ID, Sent)
		d.send(room(1), "five")
		e.sent(e.expectSend(77, 4, "five"), 4)
		d.untilReceived(room(1), "1:one 2:three 3:four 4:five")
		if failed := event(d, func(x DraftChanged) bool { return x.Draft.Status == Failed }); failed.Draft.ID != drafts[1].ID {
			t.Fatalf("the event names draft %d", failed.Draft.ID)
		}
		// A failed draft that the server would refuse stays as it is.
		d.mu.Lock()
		bodyMax := d.meta.BodyMax
		d.meta.BodyMax = 2
		d.mu.Unlock()
		if _, err := d.Resend(drafts[1].ID); !errors.Is(err, parley.TooLarge) {
			t.Fatalf("sent again: %v", err)
		}
		if x, err := d.Draft(drafts[1].ID); err != nil || x.Status != Failed {
			t.Fatalf("the failed draft is %v, %v", x.Status, err)
		}
		d.mu.Lock()
		d.meta.BodyMax = bodyMax
		d.mu.Unlock()
		// A failed draft can be sent again, behind the others.
		again, err := d.Resend(drafts[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		e.sent(e.expectSend(77, 5, "two"), 5)
		d.untilStatus(again.ID, Sent)
		if _, err := d.Draft(drafts[1].ID); !errors.Is(err, ErrUnknown) {
			t.Fatalf("the failed draft is still there: %v", err)
		}
	})
}

// A refusal for good behind one for now: the draft in front keeps its number.
func TestRenumberingBeginsBehindWhatIsSentAgain(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(7, 1, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.send(room(1), "a")
	a := e.expectSend(7, 1, "a")
	b := d.send(room(1), "b")
	qb := e.expectSend(7, 2, "b")
	d.send(room(1), "c")
	qc := e.expectSend(7, 3, "c")
	e.refuse(a, parley.Overloaded, 0)
	e.refuse(qb, parley.TooLarge, 0)
	e.refuse(qc, parley.RetryInOrder, 1)
	e.sent(e.expectSend(7, 1, "a"), 1)
	e.sent(e.expectSend(7, 2, "c"), 2)
	d.untilReceived(room(1), "1:a 2:c")
	wantErr(t, d.untilStatus(b.ID, Failed), parley.TooLarge)
}

// The freed number of a refusal is not used again in another session: bytes of
// the first may still lie at the server, and would be taken behind it.
func TestFreedNumberIsNotUsedAfterTheConnection(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash=%v", crash), func(t *testing.T) {
			s := newServer(t)
			file := filepath.Join(t.TempDir(), "ann.db")
			d := start(t, testOptions(s, wire.Binary, openFile(t, file)))
			e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
			d.untilSynced()
			first := d.send(room(1), "first")
			second := d.send(room(1), "second")
			e.refuse(e.expectSend(77, 1, "first"), parley.NotAllowed, 0)
			e.expectSend(77, 2, "second") // unanswered
			d.untilStatus(first.ID, Failed)
			if err := d.committed(); err != nil {
				t.Fatal(err)
			}
			if crash {
				d = start(t, testOptions(s, wire.Binary, openFile(t, kill(t, d))))
			} else {
				e.cut()
			}
			e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
			e.refuse(e.expectFind(77, 2), parley.ResendUnknown, 0)
			e.sent(e.expectSend(78, 1, "second"), 1)
			d.untilStatus(second.ID, Sent)
		})
	}
}

// What was written before may have been stored when it would have been taken:
// it is looked up before it counts as failed.
func TestRefusedRepeatIsLookedUp(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	stored, gone, behind := d.send(room(1), "stored"), d.send(room(1), "gone"), d.send(room(1), "behind")
	for i, text := range []string{"stored", "gone", "behind"} {
		e.expectSend(77, uint32(i+1), text)
	}
	e.cut()
	e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
	for i, text := range []string{"stored", "gone", "behind"} {
		e.refuse(e.expectSend(77, uint32(i+1), text), parley.NotMember, 0)
	}
	e.sent(e.expectFind(77, 1), 1)
	e.refuse(e.expectFind(77, 2), parley.ResendUnknown, 0)
	e.refuse(e.expectFind(77, 3), parley.ResendUnknown, 0)
	d.untilStatus(stored.ID, Sent)
	wantErr(t, d.untilStatus(gone.ID, Failed), parley.NotMember)
	d.untilStatus(behind.ID, Failed)
	later := d.send(room(1), "later")
	e.sent(e.expectSend(78, 1, "later"), 2)
	d.untilStatus(later.ID, Sent)
}

func TestRetryCodesAreRetried(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		a, b := d.send(room(1), "a"), d.send(room(1), "b")
		for range 3 {
			qa, qb := e.expectSend(77, 1, "a"), e.expectSend(77, 2, "b")
			e.refuse(qa, parley.Overloaded, 0)
			e.refuse(qb, parley.RetryInOrder, 1)
		}
		e.sent(e.expectSend(77, 1, "a"), 1)
		e.sent(e.expectSend(77, 2, "b"), 2)
		d.untilStatus(a.ID, Sent)
		d.untilStatus(b.ID, Sent)
	})
}

// A lane that has to wait holds up no other.
func TestLanesDoNotWaitForEachOther(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
	d.send(room(1), "stuck")
	e.refuse(e.expectSend(77, 1, "stuck"), parley.DiskFull, 0)
	free := d.send(room(2), "free")
	e.sent(e.expectSend(77, 1, "free"), 1)
	d.untilStatus(free.ID, Sent)
}

func TestNumberReusedIsToldAndHoldsUpNobody(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	a, b := d.send(room(1), "a"), d.send(room(1), "b")
	qa, qb := e.expectSend(77, 1, "a"), e.expectSend(77, 2, "b")
	e.refuse(qa, parley.NumberReused, 0)
	e.sent(qb, 1)
	wantErr(t, d.untilStatus(a.ID, Failed), parley.NumberReused)
	d.untilStatus(b.ID, Sent)
	d.send(room(1), "c")
	e.expectSend(77, 3, "c")
}

// A forgotten stream: what was stored is settled, the rest goes to a new one.
func TestForgottenStreamIsSettled(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		a, b, c := d.send(room(1), "a"), d.send(room(1), "b"), d.send(room(1), "c")
		for i, text := range []string{"a", "b", "c"} {
			e.expectSend(77, uint32(i+1), text)
		}
		e.cut()
		e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
		for i, text := range []string{"a", "b", "c"} {
			e.refuse(e.expectSend(77, uint32(i+1), text), parley.ResendUnknown, 0)
		}
		e.sent(e.expectFind(77, 1), 1)
		e.refuse(e.expectFind(77, 2), parley.Unavailable, 0) // all over again
		e.refuse(e.expectFind(77, 2), parley.ResendUnknown, 0)
		e.refuse(e.expectFind(77, 3), parley.ResendUnknown, 0)
		e.sent(e.expectSend(78, 1, "b"), 2)
		e.sent(e.expectSend(78, 2, "c"), 3)
		d.untilStatus(a.ID, Sent)
		d.untilStatus(b.ID, Sent)
		d.untilStatus(c.ID, Sent)
		d.untilReceived(room(1), "1:a 2:b 3:c")
	})
}

// The stream of this login is the one that is forgotten: another login gives
// another.
func TestForgottenFreshStreamNeedsAnotherLogin(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	a := d.send(room(1), "a")
	e.refuse(e.expectSend(77, 1, "a"), parley.ResendUnknown, 0)
	e.wait()
	e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
	e.sent(e.expectSend(78, 1, "a"), 1)
	d.untilStatus(a.ID, Sent)
}

func TestUnansweredIsSentAgainInOrder(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
		var last Draft
		for i := range 10 {
			last = d.send(room(1), fmt.Sprint("t", i+1))
		}
		e.sent(e.expectSend(77, 1, "t1"), 1)
		d.until("the first is sent", func() bool { return len(d.Drafts(room(1))) == 9 })
		e.cut()
		e = s.greetSynced(78, 5, state(1, 1, 2, 0, 0, 1))
		for i := 1; i < 10; i++ {
			e.sent(e.expectSend(77, uint32(i+1), fmt.Sprint("t", i+1)), uint64(i+1))
		}
		d.untilStatus(last.ID, Sent)
		d.untilReceived(room(1), "1:t1 2:t2 3:t3 4:t4 5:t5 6:t6 7:t7 8:t8 9:t9 10:t10")
	})
}

// The outbox outlives the process: the disk as a kill leaves it.
func TestOutboxSurvivesAKill(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "ann.db")
	first := start(t, testOptions(s, wire.Binary, openFile(t, file)))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	a, b := first.send(room(1), "a"), first.send(room(1), "b")
	e.sent(e.expectSend(77, 1, "a"), 1)
	e.expectSend(77, 2, "b")
	first.untilStatus(a.ID, Sent)
	if err := first.committed(); err != nil {
		t.Fatal(err)
	}
	d := start(t, testOptions(s, wire.Binary, openFile(t, kill(t, first))))
	if messages, _, err := d.Messages(room(1), parley.SeqRange{}); err != nil || len(messages) != 1 || messages[0].Text() != "a" {
		t.Fatalf("held after the kill: %v, %v", messages, err)
	}
	e = s.greetSynced(78, 5, state(1, 2, 2, 1, 0, 2))
	e.sent(e.expectSendFilling(77, 2, "b", page(1, 2, 2, 2, mine(message(1, 2), 77, 2, "b"))), 2)
	d.untilStatus(b.ID, Sent)
	if x, err := d.Draft(a.ID); err != nil || x.Status != Sent {
		t.Fatalf("the sent draft: %+v, %v", x, err)
	}
}

// expectSendFilling is expectSend where a page is also asked for.
func (e *remote) expectSendFilling(stream uint64, number uint32, text string, p *wire.ServerMessage) *wire.Request {
	e.t.Helper()
	return e.expect("send", func(q *wire.Request) bool {
		if q.History != nil {
			e.answer(q, p)
		}
		return q.Send != nil && q.Send.Stream == stream && q.Send.Number == number && q.Send.Text == text
	})
}

// A lane may be stored whose only draft was refused, before it was given another
// stream.
func TestBrokenLaneWithoutDraftsIsOpened(t *testing.T) {
	s := newServer(t)
	store := NewMemoryStore()
	err := store.Apply(&Changes{
		Meta:  &Meta{User: "ann", Stream: 7, Streams: []parley.StreamID{7}, Incarnation: 1, NextDraft: 2},
		Lanes: []Lane{{Conversation: room(1), Stream: 7, Next: 5, Broken: true}, {Conversation: room(2), Stream: 7, Next: 2}},
		Drafts: []Draft{
			{ID: 1, Conversation: room(2), Stream: 7, Number: 1, Kind: parley.KindText, Body: []byte("x"), Status: Queued},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, testOptions(s, wire.Binary, store))
	e := s.greetSynced(8, 1, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
	e.sent(e.expectSend(7, 1, "x"), 1)
	d.untilReceived(room(2), "1:x")
	d.send(room(1), "y")
	e.sent(e.expectSend(8, 1, "y"), 1)
	d.untilReceived(room(1), "1:y")
}

// The receipt is lost, and the message comes as one of the conversation.
func TestOwnMessageSettlesItsDraft(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	a := d.send(room(1), "a")
	e.expectSend(77, 1, "a")
	e.push(push(mine(message(1, 1), 77, 1, "a")))
	if x := d.untilStatus(a.ID, Sent); x.Seq != 1 {
		t.Fatalf("sent as %d", x.Seq)
	}
	d.untilReceived(room(1), "1:a")
}

func TestOutboxHasLimits(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.OutboxMax, o.OutboxBytesMax = 3, 100
	d := start(t, o)
	if _, err := d.Send(room(1), parley.KindImage, make([]byte, 101)); !errors.Is(err, parley.Overloaded) {
		t.Fatalf("101 bytes into an outbox of 100: %v", err)
	}
	for range 3 {
		d.send(room(1), "x")
	}
	if _, err := d.SendText(room(2), "x"); !errors.Is(err, parley.Overloaded) {
		t.Fatalf("the fourth of three: %v", err)
	}
	if _, err := d.Send(room(1), parley.KindSystem, nil); !errors.Is(err, parley.BadRequest) {
		t.Fatalf("a system message: %v", err)
	}
	e := s.greetSynced(77, 5)
	e.refuse(e.expectSend(77, 1, "x"), parley.NotMember, 0)
	e.refuse(e.expectSend(77, 2, "x"), parley.NotMember, 0)
	e.refuse(e.expectSend(77, 3, "x"), parley.NotMember, 0)
	d.until("all have failed", func() bool {
		all := d.Drafts(room(1))
		return all[0].Status == Failed && all[1].Status == Failed && all[2].Status == Failed
	})
	if err := d.Discard(d.Drafts(room(1))[0].ID); err != nil {
		t.Fatal(err)
	}
	d.send(room(1), "there is room again")
	if _, err := d.Send(room(1), parley.KindImage, make([]byte, 1001)); err == nil {
		t.Fatal("1001 bytes were taken")
	}
}

func TestBodyTheServerDoesNotTakeIsRefusedHere(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	s.greetSynced(77, 5)
	d.untilSynced()
	if _, err := d.Send(room(1), parley.KindImage, make([]byte, 1001)); !errors.Is(err, parley.TooLarge) {
		t.Fatalf("1001 bytes where 1000 are allowed: %v", err)
	}
}

func TestWindowBoundsWhatIsOnItsWay(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.Window = 2
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	for i := range 3 {
		d.send(room(1), fmt.Sprint("t", i+1))
	}
	one := e.expectSend(77, 1, "t1")
	e.expectSend(77, 2, "t2")
	e.quiet()
	e.sent(one, 1)
	e.expectSend(77, 3, "t3")
}

// A draft is written to the network only once it is durable: after a crash the
// number would be given to another.
func TestNothingIsSentBeforeItIsDurable(t *testing.T) {
	s := newServer(t)
	store := &slowStore{MemoryStore: NewMemoryStore()}
	d := start(t, testOptions(s, wire.Binary, store))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.send(room(1), "first")
	first := e.expectSend(77, 1, "first")
	store.gate.Lock()
	sent := make(chan error, 1)
	go func() { _, err := d.SendText(room(1), "second"); sent <- err }()
	d.until("the second is in memory", func() bool { return len(d.Drafts(room(1))) == 2 })
	e.sent(first, 1) // makes room, and has the outbox looked at
	d.until("the receipt is seen", func() bool { return len(d.Drafts(room(1))) == 1 })
	select {
	case q := <-e.requests:
		t.Errorf("came %v", q)
	case err := <-sent:
		t.Errorf("Send returned %v before the store did", err)
	case <-time.After(50 * time.Millisecond):
	}
	store.gate.Unlock()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	e.expectSend(77, 2, "second")
}

// slowStore is a store whose disk takes its time.
type slowStore struct {
	*MemoryStore
	gate sync.Mutex
}

func (s *slowStore) Apply(ch *Changes) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.MemoryStore.Apply(ch)
}
