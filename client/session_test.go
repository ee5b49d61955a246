package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func TestGoingAwayIsWaitedFor(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.BackoffMin, o.BackoffMax = time.Hour, time.Hour // only the server's word counts
	d := start(t, o)
	e := s.greetSynced(77, 5)
	d.untilSynced()
	began := time.Now()
	e.push(&wire.ServerMessage{GoingAway: &wire.GoingAway{RetryAfterMs: 150}})
	e.bye(wire.CloseGoingAway, "")
	s.greetSynced(78, 5)
	if waited := time.Since(began); waited < 150*time.Millisecond {
		t.Fatalf("back after %v", waited)
	}
	event(d, func(x Connection) bool { return !x.Online && x.Err != nil })
	d.untilSynced()
}

// A server that goes is sent nothing more. Once it has answered what matters the
// client is gone, and what came meanwhile is for the next session.
func TestNothingIsSentAfterGoingAway(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	one := d.send(room(1), "one")
	first := e.expectSend(77, 1, "one")
	e.push(&wire.ServerMessage{GoingAway: &wire.GoingAway{RetryAfterMs: 30}})
	d.until("it leaves", func() bool { d.Client.mu.Lock(); defer d.Client.mu.Unlock(); return d.session.leaving != nil })
	two := d.send(room(1), "two")
	d.Typing(room(1), true)
	named := make(chan error, 1)
	go func() { named <- d.Rename(t.Context(), room(1), "x") }()
	e.push(push(message(1, 1)), push(message(1, 3)), &wire.ServerMessage{Check: &wire.Check{Pushes: 9}}) // to acknowledge, to read, to sync
	d.untilReceived(room(1), "1:m1")
	if err := d.MarkRead(room(1), 1); err != nil {
		t.Error(err)
	}
	time.Sleep(20 * time.Millisecond)
	e.quiet()
	if len(e.marks) > 0 {
		t.Errorf("acknowledged %v", e.marks)
	}
	e.sent(first, 2)
	e.wait()
	if e.closed != wire.CloseNormal {
		t.Errorf("left with %v", e.closed)
	}
	d.untilStatus(one.ID, Sent)
	event(d, func(x Connection) bool {
		closed, ok := errors.AsType[*CloseError](x.Err)
		return ok && closed.Code == wire.CloseGoingAway
	})

	e = s.greet(78, 5)
	renamed := 0
	e.also = func(q *wire.Request) bool {
		switch {
		case q.Sync != nil:
			e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{Incarnation: 5}})
		case q.Rename != nil:
			renamed++
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
		default:
			return false
		}
		return true
	}
	e.sent(e.expectSend(77, 2, "two"), 4)
	d.untilStatus(two.ID, Sent)
	for told := false; !told; {
		if len(e.marks) == 0 {
			q := e.expect("mark", func(q *wire.Request) bool { return q.Acknowledge != nil })
			e.marks = q.Acknowledge.Marks
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
		}
		told, e.marks = e.marks[0].Read == 1, e.marks[1:]
	}
	for renamed == 0 {
		e.quiet()
	}
	if err := <-named; err != nil || renamed != 1 {
		t.Errorf("renamed %d times, %v", renamed, err)
	}
}

func TestRefusedTokenIsAskedForOnceMore(t *testing.T) {
	for name, refuse := range map[string]func(s *server){
		"status": func(s *server) { s.refuseWith(401) },
		"close": func(s *server) {
			for range 2 {
				s.accept().frame(wire.OpClose, wire.AppendClose(nil, wire.CloseBadToken, "no"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			o := testOptions(s, wire.Binary, nil)
			o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
			var asked atomic.Int32
			o.Token = func(context.Context) (string, error) { return fmt.Sprint("t", asked.Add(1)), nil }
			if name == "status" {
				refuse(s)
			}
			d := start(t, o)
			if name == "close" {
				refuse(s)
			}
			event(d, func(x Stopped) bool { return isLogin(x.Err) })
			if n := asked.Load(); n != 2 {
				t.Fatalf("asked for %d tokens", n)
			}
			if got := s.seenTokens(); len(got) != 2 || got[1] != "Bearer t2" {
				t.Fatalf("tokens %v", got)
			}
			if _, err := d.SendText(room(1), "x"); err == nil {
				t.Fatal("a stopped client took a draft")
			}
		})
	}
}

func TestExpiredTokenIsRenewed(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	for i := range uint64(4) { // as often as it takes: each login was good
		e := s.greetSynced(77+i, 5)
		d.untilSynced()
		e.bye(wire.CloseExpired, "")
		d.until("it is seen", func() bool { d.Client.mu.Lock(); defer d.Client.mu.Unlock(); return d.session == nil })
	}
}

func TestBrokenClientStops(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	s.greet(77, 5).bye(wire.CloseBadMessage, "what is this")
	stopped := event(d, func(Stopped) bool { return true })
	if closed, ok := errors.AsType[*CloseError](stopped.Err); !ok || closed.Code != wire.CloseBadMessage {
		t.Fatalf("stopped with %v", stopped.Err)
	}
	if _, err := d.CreateDirect(t.Context(), "bob"); err == nil {
		t.Fatal("a stopped client made a call")
	}
}

func TestStoreBelongsToOneUser(t *testing.T) {
	s := newServer(t)
	store := NewMemoryStore()
	d := start(t, testOptions(s, wire.Binary, store))
	s.greetSynced(77, 5)
	d.untilSynced()
	d.stop()
	d = start(t, testOptions(s, wire.Binary, store))
	s.accept().push(&wire.ServerMessage{Welcome: &wire.Welcome{User: "bob", Stream: 1, Incarnation: 5}})
	event(d, func(x Stopped) bool { return errors.Is(x.Err, ErrOtherUser) })
}

func TestTokenErrorIsTriedAgain(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	var asked atomic.Int32
	o.Token = func(context.Context) (string, error) {
		if asked.Add(1) < 3 {
			return "", errors.New("no network")
		}
		return "x", nil
	}
	d := start(t, o)
	s.greetSynced(77, 5)
	d.untilSynced()
}

func TestFailedStoreStopsTheClient(t *testing.T) {
	s := newServer(t)
	store := &brokenStore{MemoryStore: NewMemoryStore()}
	d := start(t, testOptions(s, wire.Binary, store))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	store.broken.Store(true)
	if _, err := d.SendText(room(1), "x"); !errors.Is(err, errBroken) {
		t.Fatalf("send into a broken store: %v", err)
	}
	event(d, func(x Stopped) bool { return errors.Is(x.Err, errBroken) })
	e.wait()
	for len(e.requests) > 0 { // what is not durable is not sent
		if q := <-e.requests; q.Send != nil {
			t.Fatalf("sent %v", q)
		}
	}
}

// brokenStore is a store whose disk fails at a time.
type brokenStore struct {
	*MemoryStore
	broken atomic.Bool
}

var errBroken = errors.New("no space left on device")

func (s *brokenStore) Apply(ch *Changes) error {
	if s.broken.Load() {
		return errBroken
	}
	return s.MemoryStore.Apply(ch)
}

func TestServersRequestLimitIsKept(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.accept()
	e.incarnation = 5
	e.push(&wire.ServerMessage{Welcome: &wire.Welcome{User: "ann", Stream: 77, Incarnation: 5, RequestsMax: 4}})
	for range 20 {
		d.send(room(1), "x")
	}
	sync := e.request() // unanswered: one of the four
	if sync.Sync == nil {
		t.Fatalf("first came %v", sync)
	}
	open := []*wire.Request{}
	for next := uint32(1); next <= 20; {
		select {
		case q := <-e.requests:
			if q.Send != nil {
				if q.Send.Number != next {
					t.Fatalf("number %d, want %d", q.Send.Number, next)
				}
				next++
			}
			if open = append(open, q); len(open) > 3 {
				t.Fatalf("%d requests unanswered beside the sync", len(open))
			}
		case <-time.After(20 * time.Millisecond):
			if len(open) == 0 {
				continue
			}
			q := open[0]
			open = open[1:]
			switch {
			case q.Send != nil:
				e.sent(q, uint64(q.Send.Number))
			case q.State != nil:
				e.answer(q, &wire.ServerMessage{State: state(1, 20, 20, 20, 20, 20)})
			}
		}
	}
}

func TestCalls(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		made := make(chan error, 1)
		go func() { // it waits for the connection
			v, err := d.CreateDirect(t.Context(), "bob")
			if err == nil && (v.ID != room(1) || v.Peer() != "bob" || v.Kind != parley.Direct) {
				err = fmt.Errorf("made %+v", v)
			}
			made <- err
		}()
		e := s.greetSynced(77, 5)
		isCreate := func(q *wire.Request) bool { return q.Create != nil }
		e.refuse(e.expect("create", isCreate), parley.Overloaded, 0)
		e.expect("create", isCreate)
		e.cut() // harmless to repeat
		e = s.greetSynced(78, 5)
		q := e.expect("create", isCreate)
		if q.Create.Peer != "bob" {
			t.Fatalf("create %v", q.Create)
		}
		e.answer(q, &wire.ServerMessage{State: state(1, 0, 1, 0, 0, 0)})
		if err := <-made; err != nil {
			t.Fatal(err)
		}

		go func() { _, err := d.CreateGroup(t.Context(), "garden", "bob", "cat"); made <- err }()
		e.expect("create", isCreate)
		e.cut()
		if err := <-made; !errors.Is(err, ErrInterrupted) {
			t.Fatalf("a group whose answer was lost: %v", err)
		}
		e = s.greetSynced(79, 5, state(1, 0, 1, 0, 0, 0))
		go func() { made <- d.AddMembers(t.Context(), room(1), "dan") }()
		q = e.expect("change", func(q *wire.Request) bool { return q.ChangeMembers != nil })
		e.refuse(q, parley.NotAllowed, 0)
		if err := <-made; !errors.Is(err, parley.NotAllowed) {
			t.Fatalf("add: %v", err)
		}
		for _, call := range []func() error{
			func() error { return d.AddMembers(t.Context(), room(1), "dan") },
			func() error { return d.RemoveMember(t.Context(), room(1), "dan") },
			func() error { return d.Leave(t.Context(), room(1)) },
			func() error { return d.SetRole(t.Context(), room(1), "bob", parley.RoleAdmin) },
			func() error { return d.Mute(t.Context(), room(1), time.Unix(9, 0)) },
			func() error { return d.MarkUnread(t.Context(), room(1), true) },
		} {
			go func() { made <- call() }()
			q := e.expect("call", func(q *wire.Request) bool { return q.ChangeMembers != nil || q.SetRole != nil || q.Prefer != nil })
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
			if err := <-made; err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := d.Members(ctx, room(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("members without an answer: %v", err)
		}
	})
}

// Ticks of a group are of all its members, and of those that are known only.
func TestGroupTicks(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	g := state(1, 0, 1, 0, 0, 0)
	g.Kind, g.Peer, g.Title = wire.ConversationKind_CONVERSATION_GROUP, nil, "garden"
	e := s.greetSynced(77, 5, g)
	a := d.send(room(1), "a")
	e.sent(e.expectSend(77, 1, "a"), 1)
	isMembers := func(q *wire.Request) bool { return q.Members != nil }
	member := func(user string, delivered, read uint64) *wire.Member {
		return &wire.Member{User: user, Role: wire.Role_ROLE_MEMBER, Delivered: delivered, Read: read}
	}
	e.answer(e.expect("members", isMembers), &wire.ServerMessage{Members: &wire.Members{Members: []*wire.Member{
		member("ann", 1, 0), member("bob", 1, 1), member("cat", 0, 0),
	}}})
	d.until("the members are known", func() bool { return len(d.conversation(room(1)).Members) == 2 })
	d.untilStatus(a.ID, Sent)
	id := room(1)
	e.push(&wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], Version: 4, User: "cat", Delivered: 1}})
	d.untilStatus(a.ID, Delivered)
	// Somebody joins, and takes back nothing.
	joined := message(1, 2)
	joined.Kind, joined.Text, joined.Ordinal = wire.Kind_KIND_SYSTEM, "", 1
	joined.Event = &wire.Event{Type: wire.EventType_EVENT_ADDED, Users: []string{"dan"}}
	e.push(push(joined))
	e.answer(e.expect("members", isMembers), &wire.ServerMessage{Members: &wire.Members{Members: []*wire.Member{
		member("ann", 1, 0), member("bob", 1, 1), member("cat", 1, 0), member("dan", 0, 0),
	}}})
	d.until("the new member is known", func() bool { return len(d.conversation(room(1)).Members) == 3 })
	d.untilStatus(a.ID, Delivered)
	if n := d.conversation(room(1)).Unread(); n != 0 {
		t.Fatalf("a system message is unread: %d", n)
	}
}

// A consumer that takes no events slows down nothing, and what it takes later is
// whole.
func TestSlowConsumerLosesNothing(t *testing.T) {
	s := newServer(t)
	c, err := Open(testOptions(s, wire.Binary, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	for seq := uint64(1); seq <= 500; seq++ {
		e.push(push(message(1, seq)))
	}
	until(t, "all is held", func() bool { v, err := c.Conversation(room(1)); return err == nil && v.Tail == 500 })
	if n := len(c.notes.order); n > 4 {
		t.Fatalf("%d events wait", n)
	}
	next := parley.Seq(1)
	for next <= 500 {
		x, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := x.(Received); ok {
			for _, m := range r.Messages {
				if m.Seq != next {
					t.Fatalf("sequence %d, want %d", m.Seq, next)
				}
				next++
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for {
		if _, err := c.Next(ctx); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

func TestCloseWaitsForAnswers(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.CloseWait = time.Minute
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	a := d.send(room(1), "a")
	q := e.expectSend(77, 1, "a")
	e.push(push(message(1, 1)))
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	time.Sleep(20 * time.Millisecond)
	if _, err := d.SendText(room(1), "late"); !errors.Is(err, ErrClosed) {
		t.Fatalf("send while closing: %v", err)
	}
	e.expectMark(1, 0)
	e.sent(q, 2)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if x, _ := d.Draft(a.ID); x.Status != Sent {
		t.Fatalf("status %v", x.Status)
	}
	if _, _, err := d.Messages(room(1), parley.SeqRange{}); !errors.Is(err, ErrClosed) {
		t.Fatalf("messages after Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}

func TestOpenWantsAnURLAndAToken(t *testing.T) {
	if _, err := Open(Options{URL: "http://x", Token: func(context.Context) (string, error) { return "", nil }}); err == nil {
		t.Fatal("http was taken")
	}
	if _, err := Open(Options{URL: "ws://127.0.0.1:1"}); err == nil {
		t.Fatal("no token was taken")
	}
}

// A flag follows the mark of what was read before it; and what was read of a
// store that was restored since is no reason to mark anything.
func TestMarkUnreadTellsFirstWhatWasRead(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	isFlag := func(q *wire.Request) bool { return q.Prefer != nil }
	isMark := func(q *wire.Request) bool { return q.Acknowledge != nil }
	flag := func() chan error {
		done := make(chan error, 1)
		go func() { done <- d.MarkUnread(t.Context(), room(1), true) }()
		return done
	}
	e := s.greetSynced(77, 5, state(1, 50, 1, 50, 10, 0))
	d.untilSynced()
	s.refuseWith(503)
	e.cut()
	d.until("it is offline", func() bool { d.Client.mu.Lock(); defer d.Client.mu.Unlock(); return d.session == nil })
	if err := d.MarkRead(room(1), 40); err != nil {
		t.Fatal(err)
	}
	done := flag()
	time.Sleep(10 * time.Millisecond) // it waits for a connection
	s.refuseWith(0)
	e = s.greet(78, 6)
	sync := e.expect("sync", func(q *wire.Request) bool { return q.Sync != nil })
	q := e.expect("mark", isMark)
	if q.Acknowledge.Marks[0].Read > 10 {
		t.Errorf("marked %v", q.Acknowledge.Marks)
	}
	e.answer(sync, &wire.ServerMessage{SyncPage: &wire.SyncPage{
		States: []*wire.State{state(1, 30, 1, 30, 10, 0)}, Authoritative: true, Incarnation: 6,
	}})
	e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
	e.answer(e.expect("flag", isFlag), &wire.ServerMessage{Done: &wire.Done{}})
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := d.conversation(room(1)).Confirmed.Read; got != 10 {
		t.Errorf("confirmed to %d", got)
	}

	// What the server does not know yet is told before.
	d.Client.mu.Lock()
	d.Client.conversations[room(1)].Marks.Read = 20 // as MarkRead does, whose own mark comes later
	d.Client.mu.Unlock()
	done = flag()
	q = e.expect("mark", isMark)
	if q.Acknowledge.Marks[0].Read != 20 {
		t.Errorf("marked %v", q.Acknowledge.Marks)
	}
	e.quiet()
	e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
	e.answer(e.expect("flag", isFlag), &wire.ServerMessage{Done: &wire.Done{}})
	if err := <-done; err != nil {
		t.Error(err)
	}
}
