package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func presences(all ...*wire.Presence) *wire.ServerMessage {
	return &wire.ServerMessage{Presences: &wire.Presences{Presences: all}}
}

func typing(n int, user string, active bool) *wire.ServerMessage {
	id := room(n)
	return &wire.ServerMessage{Typing: &wire.Typing{Conversation: id[:], User: user, Active: active}}
}

func (e *remote) expectWatch(rooms ...int) *wire.Request {
	e.t.Helper()
	q := e.expect("watch", func(q *wire.Request) bool { return q.Watch != nil })
	var want []string
	for _, n := range rooms {
		id := room(n)
		want = append(want, string(id[:]))
	}
	var got []string
	for _, id := range q.Watch.Conversations {
		got = append(got, string(id))
	}
	if !slices.Equal(got, want) {
		e.t.Fatalf("watches %x, want %x", got, want)
	}
	return q
}

// watch has a device watch rooms, with an answer.
func (d *device) watch(e *remote, answer *wire.ServerMessage, rooms ...int) []Presence {
	d.t.Helper()
	var ids []parley.ConversationID
	for _, n := range rooms {
		ids = append(ids, room(n))
	}
	type result struct {
		presences []Presence
		err       error
	}
	done := make(chan result, 1)
	go func() { p, err := d.Watch(d.t.Context(), ids...); done <- result{p, err} }()
	e.answer(e.expectWatch(rooms...), answer)
	r := <-done
	if r.err != nil {
		d.t.Fatal(r.err)
	}
	return r.presences
}

// typers are what events told of who writes, one after the other.
func (d *device) typers(n int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, e := range d.events {
		if x, ok := e.(TypingChanged); ok && x.Conversation == room(n) {
			all = append(all, strings.Join(x.Users, "+"))
		}
	}
	return all
}

func (d *device) untilTypers(n int, want ...string) {
	d.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if slices.Equal(d.typers(n), want) {
			return
		}
	}
	d.t.Fatalf("told that %q write, want %q", d.typers(n), want)
}

func TestPresenceIsAskedInBatches(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5)
		var users []string
		for i := range 450 {
			users = append(users, fmt.Sprintf("user%d", i))
		}
		got := make(chan []Presence, 1)
		go func() {
			all, err := d.Presence(t.Context(), users...)
			if err != nil {
				t.Error(err)
			}
			got <- all
		}()
		asked := 0
		for _, n := range []int{200, 200, 50} {
			q := e.expect("presence", func(q *wire.Request) bool { return q.Presence != nil })
			if len(q.Presence.Users) != n || q.Presence.Users[0] != users[asked] {
				t.Fatalf("asked for %d from %s", len(q.Presence.Users), q.Presence.Users[0])
			}
			asked += n
			e.answer(q, &wire.ServerMessage{Presences: &wire.Presences{Degraded: n == 50, Presences: []*wire.Presence{
				{User: q.Presence.Users[0], Online: true}, {User: q.Presence.Users[1], LastSeen: 5_000_000}, {User: q.Presence.Users[2], Hidden: true},
			}}})
		}
		all := <-got
		want := []Presence{
			{User: "user0", Online: true}, {User: "user1", LastSeen: time.Unix(5, 0).UTC()}, {User: "user2", Hidden: true},
			{User: "user200", Online: true}, {User: "user201", LastSeen: time.Unix(5, 0).UTC()}, {User: "user202", Hidden: true},
			{User: "user400", Online: true}, {User: "user401", LastSeen: time.Unix(5, 0).UTC(), Unsure: true}, {User: "user402", Hidden: true},
		}
		if !slices.Equal(all, want) {
			t.Fatalf("presences %+v", all)
		}
		if none, err := d.Presence(t.Context()); err != nil || none != nil {
			t.Errorf("of nobody: %v, %v", none, err)
		}
	})
}

func TestWatchTellsWhatChanges(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.push(presences(&wire.Presence{User: "dan", Online: true}), typing(1, "dan", true)) // nothing is watched
	e.quiet()
	got := d.watch(e, presences(&wire.Presence{User: "ann", Online: true}, &wire.Presence{User: "bob", Online: true}, &wire.Presence{User: "cat", LastSeen: 1_000_000}), 1)
	if len(got) != 2 || got[0] != (Presence{User: "bob", Online: true}) {
		t.Fatalf("watching told %+v", got)
	}
	event(d, func(x PresenceChanged) bool { return x.Presence.User == "cat" && !x.Presence.Online })
	e.push(presences(&wire.Presence{User: "bob", LastSeen: 9_000_000}))
	event(d, func(x PresenceChanged) bool {
		return x.Presence == Presence{User: "bob", LastSeen: time.Unix(9, 0).UTC()}
	})

	e.push(presences(&wire.Presence{User: "ann", LastSeen: 1})) // one's own is no news

	// After a reconnection it is named again, and what changed meanwhile is told.
	e.cut()
	e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
	e.answer(e.expectWatch(1), presences(&wire.Presence{User: "bob", Online: true}, &wire.Presence{User: "cat", LastSeen: 1_000_000}))
	d.until("bob is back", func() bool { return len(d.told("bob")) == 3 })
	if n := len(d.told("cat")); n != 1 {
		t.Errorf("told %d times of cat", n)
	}
	if n := len(d.told("dan")) + len(d.told("ann")); n != 0 {
		t.Errorf("told %d times of dan, and of ann herself", n)
	}
	// Refused for now, it is named again, too.
	e.cut()
	e = s.greetSynced(79, 5, state(1, 0, 1, 0, 0, 0))
	e.refuse(e.expectWatch(1), parley.Overloaded, 0)
	e.answer(e.expectWatch(1), presences(&wire.Presence{User: "bob", LastSeen: 10_000_000}))
	d.until("bob is gone", func() bool { return len(d.told("bob")) == 4 })

	// What is refused for good changes nothing.
	done := make(chan error, 1)
	go func() { _, err := d.Watch(t.Context(), room(1), room(3)); done <- err }()
	e.refuse(e.expectWatch(1, 3), parley.NotMember, 0)
	if err := <-done; !errors.Is(err, parley.NotMember) {
		t.Errorf("watching what is not hers: %v", err)
	}
	e.push(typing(1, "bob", true))
	d.untilTypers(1, "bob")

	// And no more of it once it was ended.
	d.watch(e, presences())
	e.push(presences(&wire.Presence{User: "bob", Online: true}))
	e.cut()
	e = s.greetSynced(80, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	e.quiet()
	if n := len(d.told("bob")); n != 4 {
		t.Errorf("told %d times of bob", n)
	}
}

// told is what events told of a user's presence.
func (d *device) told(user string) (all []Presence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if x, ok := e.(PresenceChanged); ok && x.Presence.User == user {
			all = append(all, x.Presence)
		}
	}
	return all
}

// That somebody stops typing meanwhile does not make the client forget to name
// again what it watches.
func TestWatchIsNamedAgainWhateverElseIsDue(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.typingEnds = 20 * time.Millisecond
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.watch(e, presences(), 1)
	e.cut()
	e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
	q := e.expectWatch(1)
	e.push(typing(1, "bob", true), &wire.ServerMessage{ReplyTo: q.Id, Error: &wire.Error{Code: uint32(parley.Overloaded), RetryAfterMs: 100}})
	d.untilTypers(1, "bob", "")
	e.answer(e.expectWatch(1), presences(&wire.Presence{User: "bob", Online: true}))
	event(d, func(x PresenceChanged) bool { return x.Presence.User == "bob" })
}

// A watch ends with the membership, and is named again when the user is back.
func TestWatchAfterComingBack(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.watch(e, presences(), 1)
	id := room(1)
	e.push(&wire.ServerMessage{State: &wire.State{Conversation: id[:], Version: 2, Left: true}})
	d.until("it is left", func() bool { return d.conversation(id).Left })
	e.quiet()
	e.push(&wire.ServerMessage{State: state(1, 0, 3, 0, 0, 0)})
	e.answer(e.expectWatch(1), presences(&wire.Presence{User: "bob", Online: true}))
	event(d, func(x PresenceChanged) bool { return x.Presence.User == "bob" })
}

// What is watched without a connection is watched with the next; what the user
// has left meanwhile is left out.
func TestWatchWithoutAConnection(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Watch(ctx, room(1), room(2)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	e := s.greetSynced(77, 5, state(2, 0, 1, 0, 0, 0))
	e.answer(e.expectWatch(2), presences(&wire.Presence{User: "bob", Online: true}))
	event(d, func(x PresenceChanged) bool { return x.Presence.User == "bob" })
	if _, err := d.Watch(t.Context(), make([]parley.ConversationID, 9)...); !errors.Is(err, parley.BadRequest) {
		t.Errorf("nine: %v", err)
	}
}

// However much is told, a consumer that sleeps finds one event of each thing.
func TestPeopleEventsMerge(t *testing.T) {
	s := newServer(t)
	c, err := Open(testOptions(s, wire.Binary, nil))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{Client: c, t: t}
	defer func() { _ = c.Close() }()
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.watch(e, presences(&wire.Presence{User: "bob"}), 1)
	for i := range 500 {
		e.push(presences(&wire.Presence{User: "bob", Online: i%2 == 0, LastSeen: int64(i)}), typing(1, "bob", i%2 == 0),
			&wire.ServerMessage{Profiles: &wire.Profiles{Profiles: []*wire.Profile{{User: "bob", Name: fmt.Sprint("Bob ", i)}}}})
	}
	e.quiet()
	c.notes.mu.Lock()
	n := len(c.notes.order)
	c.notes.mu.Unlock()
	if n > 10 {
		t.Errorf("%d events wait", n)
	}
	seen := make(map[string]int)
	for range n {
		x, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch x := x.(type) {
		case PresenceChanged:
			if x.Presence != (Presence{User: "bob", LastSeen: timeOf(499)}) {
				t.Errorf("told %+v", x)
			}
		case TypingChanged:
			if len(x.Users) != 0 {
				t.Errorf("told %+v", x)
			}
		case ProfileChanged:
			if x.Profile.Name != "Bob 499" {
				t.Errorf("told %+v", x)
			}
		}
		seen[fmt.Sprintf("%T", x)]++
	}
	for _, kind := range []string{"client.PresenceChanged", "client.TypingChanged", "client.ProfileChanged"} {
		if seen[kind] != 1 {
			t.Errorf("%d events %s", seen[kind], kind)
		}
	}
}

// Of those who are not watched any more nothing waits to be told.
func TestPresenceEventsEndWithTheWatch(t *testing.T) {
	s := newServer(t)
	c, err := Open(testOptions(s, wire.Binary, nil))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{Client: c, t: t}
	defer func() { _ = c.Close() }()
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
	d.untilSynced()
	for i := range 5 {
		d.watch(e, presences(&wire.Presence{User: fmt.Sprint("user", i), Online: true}), 1+i%2)
	}
	var told []string
	for {
		x, ok, _ := c.notes.take()
		if !ok {
			break
		}
		if x.kind == notePresence {
			told = append(told, x.user)
		}
	}
	if !slices.Equal(told, []string{"user4"}) {
		t.Errorf("events wait of %v", told)
	}
}

func TestTypingOfOthers(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.typingEnds = time.Hour
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.watch(e, presences(), 1)
	e.push(typing(2, "bob", true), typing(1, "ann", true), typing(1, "cat", false)) // not watched, oneself, not heard of
	e.push(typing(1, "cat", true))
	d.untilTypers(1, "cat")
	e.push(typing(1, "bob", true), typing(1, "cat", true))
	d.untilTypers(1, "cat", "bob+cat")
	e.push(push(message(1, 1))) // of bob's
	d.untilTypers(1, "cat", "bob+cat", "cat")
	e.push(typing(1, "cat", false))
	d.untilTypers(1, "cat", "bob+cat", "cat", "")
	e.push(typing(1, "bob", true))
	d.untilTypers(1, "cat", "bob+cat", "cat", "", "bob")
	e.cut() // who knows
	d.untilTypers(1, "cat", "bob+cat", "cat", "", "bob", "")
	if got := d.typers(2); got != nil {
		t.Errorf("told that %q write elsewhere", got)
	}
}

func TestTypingEndsByItself(t *testing.T) {
	s := newServer(t)
	o := testOptions(s, wire.Binary, nil)
	o.typingEnds = time.Second
	d := start(t, o)
	e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
	d.untilSynced()
	d.watch(e, presences(), 1)
	began := time.Now()
	e.push(typing(1, "bob", true), typing(1, "cat", true))
	d.untilTypers(1, "bob+cat")
	time.Sleep(200 * time.Millisecond)
	again := time.Now()
	e.push(typing(1, "cat", true))
	d.untilTypers(1, "bob+cat", "cat")
	if took := time.Since(began); took < time.Second {
		t.Errorf("ended after %v", took)
	}
	d.untilTypers(1, "bob+cat", "cat", "")
	if took := time.Since(again); took < time.Second {
		t.Errorf("ended %v after the last", took)
	}
}

func TestTypingIsTold(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		o := testOptions(s, p, nil)
		o.typingEvery, o.typingEnds = time.Hour, 2*time.Hour
		d := start(t, o)
		d.Typing(room(1), true) // not connected
		e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0), state(2, 0, 1, 0, 0, 0))
		d.untilSynced()
		expect := func(n int, active bool) {
			t.Helper()
			q := e.expect("typing", func(q *wire.Request) bool { return q.Typing != nil })
			id := room(n)
			if q.Id != 0 || string(q.Typing.Conversation) != string(id[:]) || q.Typing.Active != active {
				t.Fatalf("told %v", q)
			}
		}
		d.Typing(room(1), false) // it was not told
		d.Typing(room(1), true)
		expect(1, true)
		d.Typing(room(1), true) // too early
		d.Typing(room(2), true)
		expect(2, true)
		d.Typing(room(1), false)
		expect(1, false)
		d.Typing(room(1), false) // once is enough
		d.Typing(room(1), true)
		expect(1, true)
		d.send(room(1), "x") // the message says it
		e.sent(e.expectSend(77, 1, "x"), 1)
		d.Typing(room(1), false)
		e.quiet()
		d.Typing(room(1), true)
		expect(1, true)

		d.Client.mu.Lock()
		d.people.typed[room(1)] = time.Now().Add(-time.Hour)
		d.people.typed[room(2)] = time.Now().Add(-2 * time.Hour)
		d.Client.mu.Unlock()
		d.Typing(room(1), true) // again
		expect(1, true)
		d.Typing(room(2), false) // it ended by itself
		e.cut()
		e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
		d.untilSynced()
		d.Typing(room(1), false) // another session has not told it
		d.Typing(room(1), true)
		expect(1, true)
	})
}

// What is not written yet is replaced, and left out where the server has enough
// to do.
func TestTypingDoesNotGather(t *testing.T) {
	s := &session{
		welcome: &wire.Welcome{RequestsMax: 4}, wake: make(chan struct{}, 1),
		answers: map[uint32]func(*wire.ServerMessage){1: nil},
	}
	for i := range 100 {
		id := room(i % 5)
		s.hint(&wire.Typing{Conversation: id[:], Active: i%2 == 0})
	}
	if n := len(s.hints); n != 3 {
		t.Errorf("%d wait", n)
	}
}

func TestProfiles(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		st := state(1, 0, 3, 0, 0, 0)
		st.Peer.Name, st.Peer.Picture = "Bob", "https://example.org/bob"
		e := s.greetSynced(77, 5, st)
		d.untilSynced()
		if m := d.conversation(room(1)).Members[0]; m.Name != "Bob" || m.Picture != "https://example.org/bob" {
			t.Fatalf("member %+v", m)
		}
		got := make(chan []Profile, 1)
		go func() {
			all, err := d.Profiles(t.Context(), "bob", "cat")
			if err != nil {
				t.Error(err)
			}
			got <- all
		}()
		q := e.expect("profiles", func(q *wire.Request) bool { return q.Profiles != nil })
		if !slices.Equal(q.Profiles.Users, []string{"bob", "cat"}) {
			t.Errorf("asked for %q", q.Profiles.Users)
		}
		e.answer(q, &wire.ServerMessage{Profiles: &wire.Profiles{Profiles: []*wire.Profile{{User: "bob", Name: "Bob", Picture: "p"}, {User: "cat"}}}})
		if all := <-got; !slices.Equal(all, []Profile{{User: "bob", Name: "Bob", Picture: "p"}, {User: "cat"}}) {
			t.Errorf("profiles %+v", all)
		}

		name, nobody := "", parley.Nobody
		own := make(chan Profile, 1)
		go func() {
			p, err := d.SetProfile(t.Context(), ProfileChange{Name: &name, LastSeenTo: &nobody})
			if err != nil {
				t.Error(err)
			}
			own <- p
		}()
		q = e.expect("change", func(q *wire.Request) bool { return q.SetProfile != nil })
		if c := q.SetProfile; c.Name == nil || *c.Name != "" || c.Picture != nil || c.GetLastSeenTo() != wire.Audience_AUDIENCE_NOBODY {
			t.Errorf("asked for %v", c)
		}
		e.answer(q, &wire.ServerMessage{Profiles: &wire.Profiles{Profiles: []*wire.Profile{{User: "ann", Picture: "x", LastSeenTo: wire.Audience_AUDIENCE_NOBODY}}}})
		if p := <-own; p != (Profile{User: "ann", Picture: "x", LastSeenTo: parley.Nobody}) {
			t.Errorf("own profile %+v", p)
		}

		// A hint changes members, and what marks and older states bring does not.
		e.push(&wire.ServerMessage{Profiles: &wire.Profiles{Profiles: []*wire.Profile{{User: "bob", Name: "Robert"}}}})
		event(d, func(x ProfileChanged) bool { return x.Profile == Profile{User: "bob", Name: "Robert"} })
		event(d, func(x Changed) bool { return x.Conversation.Members[0].Name == "Robert" })
		id := room(1)
		old := state(1, 0, 2, 0, 0, 0)
		old.Peer.Name = "Bobby"
		e.push(&wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], User: "bob", Version: 4}}, &wire.ServerMessage{State: old})
		e.quiet()
		if m := d.conversation(room(1)).Members[0]; m.Name != "Robert" || m.Picture != "" {
			t.Errorf("member %+v", m)
		}
	})
}

// The new answers, too, are waited for and named when they are lost.
func TestLostAnswersOfPeopleAreAskedForAgain(t *testing.T) {
	s := newServer(t)
	d := start(t, testOptions(s, wire.Binary, nil))
	e := s.greetSynced(77, 5)
	done := make(chan error, 1)
	go func() { _, err := d.Profiles(t.Context(), "bob"); done <- err }()
	e.expect("profiles", func(q *wire.Request) bool { return q.Profiles != nil })
	e.cut()
	e = s.greet(78, 5)
	e.also = func(q *wire.Request) bool { return q.Sync != nil }
	e.answer(e.expect("profiles", func(q *wire.Request) bool { return q.Profiles != nil }), &wire.ServerMessage{Profiles: &wire.Profiles{}})
	if err := <-done; err != nil {
		t.Error(err)
	}
	go func() { done <- d.Rename(t.Context(), room(1), "park") }()
	q := e.expect("rename", func(q *wire.Request) bool { return q.Rename != nil })
	if q.Rename.Title != "park" {
		t.Errorf("asked for %v", q)
	}
	e.cut()
	if err := <-done; !errors.Is(err, ErrInterrupted) {
		t.Errorf("rename: %v", err)
	}
}
