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

// numbered gives tokens t1, t2, t3, and waits long where it should not wait at
// all.
func numbered(s *server) (Options, *atomic.Int32) {
	o := testOptions(s, wire.Binary, nil)
	o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
	asked := &atomic.Int32{}
	o.Token = func(context.Context) (string, error) { return fmt.Sprint("t", asked.Add(1)), nil }
	return o, asked
}

func expiring(ms uint32) *wire.ServerMessage {
	return &wire.ServerMessage{TokenExpiring: &wire.TokenExpiring{ExpiresInMs: ms}}
}

// What is on its way is answered before the client leaves; what comes meanwhile
// waits for the next session.
func TestTokenIsRenewedInGoodOrder(t *testing.T) {
	s := newServer(t)
	o, asked := numbered(s)
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	one := d.send(room(1), "one")
	first := e.expectSend(77, 1, "one")
	made := make(chan error, 1)
	go func() { _, err := d.CreateGroup(t.Context(), "garden"); made <- err }()
	create := e.expect("create", func(q *wire.Request) bool { return q.Create != nil })

	e.push(expiring(60_000), expiring(59_000))
	d.until("it leaves", func() bool { d.Client.mu.Lock(); defer d.Client.mu.Unlock(); return d.session.leaving != nil })
	two := d.send(room(1), "two")
	renamed := make(chan error, 1)
	go func() { renamed <- d.Rename(t.Context(), room(1), "x") }()
	time.Sleep(20 * time.Millisecond)
	e.quiet()
	e.sent(first, 1)
	e.quiet() // the call is due still
	id := room(2)
	e.answer(create, &wire.ServerMessage{State: &wire.State{Conversation: id[:], Kind: wire.ConversationKind_CONVERSATION_GROUP, Version: 1, Role: wire.Role_ROLE_OWNER}})
	if err := <-made; err != nil {
		t.Error(err)
	}
	e.wait()
	if e.closed != wire.CloseNormal {
		t.Errorf("left with %v", e.closed)
	}

	e = s.greet(78, 5)
	if e.token != "Bearer t2" {
		t.Errorf("came with %s", e.token)
	}
	named, isRename := false, func(q *wire.Request) bool { return q.Rename != nil }
	e.also = func(q *wire.Request) bool {
		switch {
		case q.Sync != nil:
			e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{Incarnation: 5}})
		case isRename(q):
			named = true
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
		default:
			return false
		}
		return true
	}
	e.sent(e.expectSend(77, 2, "two"), 2)
	d.untilStatus(one.ID, Sent)
	d.untilStatus(two.ID, Sent)
	if !named {
		e.answer(e.expect("rename", isRename), &wire.ServerMessage{Done: &wire.Done{}})
	}
	if err := <-renamed; err != nil {
		t.Error(err)
	}
	d.untilSynced()
	if n := asked.Load(); n != 2 {
		t.Errorf("asked for %d tokens", n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.events {
		if c, ok := x.(Connection); ok && c.Err != nil && !errors.Is(c.Err, errRenewed) {
			t.Errorf("told %+v", c)
		}
	}
}

// Without another token in time, the server ends the session, and the client is
// back at once.
func TestTokenThatIsNotRenewedInTime(t *testing.T) {
	s := newServer(t)
	o, _ := numbered(s)
	asked := make(chan struct{}, 10)
	var calls atomic.Int32
	o.Token = func(ctx context.Context) (string, error) {
		asked <- struct{}{}
		if calls.Add(1) == 2 {
			<-ctx.Done() // it takes too long
		}
		return fmt.Sprint("t", calls.Load()), nil
	}
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	<-asked
	e.push(expiring(60_000))
	<-asked
	draft := d.send(room(1), "one") // meanwhile all goes on
	e.expectSend(77, 1, "one")
	e.bye(wire.CloseExpired, "the token has expired")
	e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
	if e.token != "Bearer t3" {
		t.Errorf("came with %s", e.token)
	}
	e.sent(e.expectSend(77, 1, "one"), 1)
	d.untilStatus(draft.ID, Sent)
}

// A token that is the same, or none, is asked for again; another that is refused
// is not used twice.
func TestTokenIsAskedForUntilThereIsAnother(t *testing.T) {
	s := newServer(t)
	o, _ := numbered(s)
	o.BackoffMin, o.BackoffMax = time.Millisecond, time.Millisecond
	var calls atomic.Int32
	o.Token = func(context.Context) (string, error) {
		switch n := calls.Add(1); n {
		case 1, 2:
			return "t1", nil
		case 3:
			return "", errors.New("no network")
		default:
			return fmt.Sprint("t", n), nil
		}
	}
	d := start(t, o)
	e := s.greetSynced(77, 5)
	d.untilSynced()
	e.push(expiring(60_000))
	e.wait()
	s.accept().frame(wire.OpClose, wire.AppendClose(nil, wire.CloseBadToken, "no"))
	e = s.greetSynced(78, 5)
	d.untilSynced()
	if got := s.seenTokens(); len(got) != 3 || got[1] != "Bearer t4" || got[2] != "Bearer t5" {
		t.Errorf("tokens %v", got)
	}
}

// A token that is warned of at once is worn to the half.
func TestShortTokensAreNotWasted(t *testing.T) {
	s := newServer(t)
	o, asked := numbered(s)
	d := start(t, o)
	e := s.accept()
	e.incarnation = 5
	began := time.Now()
	e.push(&wire.ServerMessage{Welcome: &wire.Welcome{User: "ann", Stream: 77, Incarnation: 5, TokenExpiresInMs: 400}}, expiring(400))
	e.answerSync()
	d.untilSynced()
	e.wait()
	if waited := time.Since(began); waited < 200*time.Millisecond {
		t.Errorf("left after %v", waited)
	}
	s.greetSynced(78, 5)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked for %d tokens", n)
	}
}

// Sessions that end with their token as soon as they begin, time after time, are
// no reason to knock without a pause.
func TestTokensThatEndAtOnce(t *testing.T) {
	s := newServer(t)
	o, asked := numbered(s)
	d := start(t, o)
	for i := range uint64(2) {
		e := s.greetSynced(77+i, 5)
		e.bye(wire.CloseExpired, "")
	}
	event(d, func(c Connection) bool { return c.Err != nil })
	time.Sleep(30 * time.Millisecond)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked for %d tokens", n)
	}
}

// The end of a token is no refusal: a next one that is stale does not stop the
// client yet.
func TestStaleTokenAfterTheEndOfOne(t *testing.T) {
	s := newServer(t)
	o, _ := numbered(s)
	d := start(t, o)
	e := s.greetSynced(77, 5)
	d.untilSynced()
	e.bye(wire.CloseExpired, "")
	s.accept().frame(wire.OpClose, wire.AppendClose(nil, wire.CloseBadToken, "no"))
	if e = s.greetSynced(78, 5); e.token != "Bearer t3" {
		t.Errorf("came with %s", e.token)
	}
	d.untilSynced()
}

func TestCloseWhileATokenIsFetched(t *testing.T) {
	s := newServer(t)
	o, _ := numbered(s)
	asked := make(chan struct{}, 10)
	o.Token = func(ctx context.Context) (string, error) {
		asked <- struct{}{}
		if len(asked) == 2 {
			<-ctx.Done()
		}
		return "x", context.Cause(ctx)
	}
	d := start(t, o)
	e := s.greetSynced(77, 5)
	d.untilSynced()
	e.push(expiring(60_000))
	d.until("it asks", func() bool { return len(asked) == 2 })
	d.stop()
}

func TestRenamedGroup(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	group := func(last, version uint64, title string) *wire.State {
		st := state(1, last, version, last, last, 0)
		st.Kind, st.Peer, st.Title = wire.ConversationKind_CONVERSATION_GROUP, nil, title
		return st
	}
	e := s.greetSynced(77, 5, group(4, 4, "garden"))
	d.untilSynced()
	named := func(seq uint64, kind wire.EventType, title string) *wire.ServerMessage {
		m := message(1, seq)
		m.Kind, m.Text, m.Event = wire.Kind_KIND_SYSTEM, "", &wire.Event{Type: kind, Title: title}
		return push(m)
	}
	e.push(named(5, wire.EventType_EVENT_RENAMED, "park"))
	x := event(d, func(x Received) bool { return x.Messages[len(x.Messages)-1].Seq == 5 })
	if ev := x.Messages[0].Event; ev.Type != parley.EventRenamed || ev.Title != "park" {
		t.Errorf("told %+v", ev)
	}
	if got := d.conversation(room(1)).Title; got != "park" {
		t.Errorf("title %q", got)
	}
	// A state from before does not take it back; one from later names it anew.
	e.push(&wire.ServerMessage{State: group(4, 5, "garden")})
	e.push(named(6, 77, "of a later version")) // is neutral
	event(d, func(x Received) bool { return x.Messages[len(x.Messages)-1].Seq == 6 })
	if got := d.conversation(room(1)).Title; got != "park" {
		t.Errorf("title %q", got)
	}
	e.push(&wire.ServerMessage{State: group(7, 8, "forest")})
	d.until("it is the forest", func() bool { return d.conversation(room(1)).Title == "forest" })
}
