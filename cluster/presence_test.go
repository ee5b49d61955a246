package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// presenceOf is what a session is told of one user who is named.
func (h *house) presenceOf(user int, subject string) *wire.Presence {
	h.t.Helper()
	m := h.ask(user, &wire.Request{Presence: &wire.GetPresence{Users: []string{subject}}})
	if m.Presences == nil || len(m.Presences.Presences) != 1 || m.Presences.Presences[0].User != subject {
		h.t.Fatalf("presence of %s: %v", subject, m)
	}
	return m.Presences.Presences[0]
}

func (h *house) showTo(user int, to wire.Audience) {
	h.t.Helper()
	m := h.ask(user, &wire.Request{SetProfile: &wire.SetProfile{LastSeenTo: &to}})
	if m.Profiles == nil || m.Profiles.Profiles[0].LastSeenTo != to {
		h.t.Fatalf("set_profile: %v", m)
	}
}

func (h *house) watch(user int, conversations ...[]byte) *wire.Presences {
	h.t.Helper()
	m := h.ask(user, &wire.Request{Watch: &wire.Watch{Conversations: conversations}})
	if m.Presences == nil {
		h.t.Fatalf("watch: %v", m)
	}
	return m.Presences
}

func (h *house) group(user int, members ...string) []byte {
	h.t.Helper()
	m := h.ask(user, &wire.Request{Create: &wire.Create{Title: "room", Members: members}})
	if m.State == nil {
		h.t.Fatalf("create: %v", m)
	}
	return m.State.Conversation
}

func of(subject string, online bool) func(*wire.ServerMessage) bool {
	return func(m *wire.ServerMessage) bool {
		for _, p := range m.GetPresences().GetPresences() {
			if p.User == subject && p.Online == online && !p.Hidden {
				return true
			}
		}
		return false
	}
}

// Everybody is shown what each user allows, and nothing else: by whether they share
// a conversation, for who is online and who is not.
func TestPresenceIsShownByPrivacy(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob", "eve", "old")
	const ann, bob, eve, old = 0, 1, 2, 3
	h.direct(ann, "bob")
	group := h.group(old, "bob")
	h.end(old)
	for _, c := range []struct {
		to            wire.Audience
		shown, shared [4]bool // to ann, bob, eve, old himself
	}{
		{wire.Audience_AUDIENCE_SHARED, [4]bool{true, true, false}, [4]bool{false, true, false}},
		{wire.Audience_AUDIENCE_EVERYBODY, [4]bool{true, true, true}, [4]bool{true, true, true}},
		{wire.Audience_AUDIENCE_NOBODY, [4]bool{true, false, false}, [4]bool{false, false, false}},
	} {
		h.showTo(ann, c.to)
		again := h.connect("old", parley.DeviceID{})
		h.showTo(again, c.to)
		h.end(again)
		for _, viewer := range []int{ann, bob, eve} {
			p := h.presenceOf(viewer, "ann")
			if p.Online != c.shown[viewer] || p.Hidden == c.shown[viewer] || p.LastSeen != 0 {
				t.Errorf("%v: session %d is told %v of ann", c.to, viewer, p)
			}
			p = h.presenceOf(viewer, "old")
			if p.Online || p.Hidden == c.shared[viewer] || (p.LastSeen != 0) != c.shared[viewer] {
				t.Errorf("%v: session %d is told %v of who has gone", c.to, viewer, p)
			}
		}
	}
	if p := h.presenceOf(ann, "nobody"); !p.Hidden || p.Online {
		t.Errorf("of who does not exist: %v", p)
	}
	// Who was removed shares nothing any more.
	again := h.connect("old", parley.DeviceID{})
	h.showTo(again, wire.Audience_AUDIENCE_SHARED)
	if p := h.presenceOf(bob, "old"); !p.Online {
		t.Errorf("before: %v", p)
	}
	if m := h.ask(again, &wire.Request{ChangeMembers: &wire.ChangeMembers{Conversation: group, Remove: []string{"bob"}}}); m.Done == nil {
		t.Fatal(m)
	}
	if p := h.presenceOf(bob, "old"); !p.Hidden || p.Online {
		t.Errorf("after: %v", p)
	}
}

func TestPresenceAsksInOrderAndWithinLimits(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	h.direct(0, "bob")
	var users []string
	for i := range 200 {
		users = append(users, fmt.Sprint("user", i))
	}
	users[0], users[50], users[199] = "bob", "ann", "bob"
	m := h.ask(0, &wire.Request{Presence: &wire.GetPresence{Users: users}})
	for i, p := range m.Presences.GetPresences() {
		if p.User != users[i] || p.Online != (i == 0 || i == 50 || i == 199) || p.Hidden == p.Online {
			t.Fatalf("%d: %v", i, p)
		}
	}
	wantError(t, h.ask(0, &wire.Request{Presence: &wire.GetPresence{Users: append(users, "one more")}}), parley.BadRequest)
	wantError(t, h.ask(0, &wire.Request{Watch: &wire.Watch{Conversations: make([][]byte, 9)}}), parley.BadRequest)
	wantError(t, h.ask(0, &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{make([]byte, 16)}}}), parley.NotMember)
}

// Who watches a conversation hears of its members, until he watches another, none,
// or is gone.
func TestWatchesComeAndGo(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	told := h.watch(0, room)
	if len(told.Presences) != 2 || told.Degraded {
		t.Fatalf("watch is answered with %v", told)
	}
	before := time.Now().UnixMicro()
	h.end(1)
	gone := h.heard(0, "bob's end", of("bob", false)).Presences.Presences[0]
	if gone.LastSeen < before || gone.LastSeen > time.Now().UnixMicro() {
		t.Errorf("bob was seen last at %d, it was after %d", gone.LastSeen, before)
	}
	if p := h.presenceOf(0, "bob"); p.LastSeen != gone.LastSeen {
		t.Errorf("asked for, he was seen last at %d, told %d", p.LastSeen, gone.LastSeen)
	}
	bob := h.connect("bob", parley.DeviceID{})
	h.heard(0, "bob's return", of("bob", true))

	other := h.group(0)
	h.watch(0, other)
	h.end(bob)
	h.silent(0, "another conversation is open")
	if s := h.router.Stats(); s.Watches != 1 || s.Watched != 1 || h.registry.Stats().Watched != 1 {
		t.Errorf("stats %+v, %+v", s, h.registry.Stats())
	}
	h.watch(0, room, other, room)
	if s := h.router.Stats(); s.Watches != 2 || s.Watched != 3 {
		t.Errorf("stats %+v", s)
	}
	h.watch(0)
	h.connect("bob", parley.DeviceID{})
	h.silent(0, "nothing is open")
	h.watch(0, room)
	h.end(0)
	if s := h.router.Stats(); s.Watches != 0 || s.Watched != 0 || h.registry.Stats().Watched != 0 {
		t.Errorf("stats after the end %+v, %+v", s, h.registry.Stats())
	}
}

// Whether somebody may hear of another is judged each time.
func TestPrivacyIsJudgedForEachHint(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	h.watch(0, room)
	h.showTo(1, wire.Audience_AUDIENCE_NOBODY)
	h.heard(0, "that bob hides", func(m *wire.ServerMessage) bool {
		return m.Presences != nil && m.Presences.Presences[0].Hidden && m.Presences.Presences[0].User == "bob"
	})
	h.end(1)
	bob := h.connect("bob", parley.DeviceID{})
	h.silent(0, "bob hides")
	if told := h.watch(0, room); !told.Presences[0].Hidden == !told.Presences[1].Hidden {
		t.Errorf("watch is answered with %v", told)
	}
	h.showTo(bob, wire.Audience_AUDIENCE_SHARED)
	h.heard(0, "that bob is there", of("bob", true))
}

// A membership's end is the end of what was watched by it; who joins is seen.
func TestWatchesFollowTheMembers(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob", "carl", "dora")
	const ann, bob, carl, dora = 0, 1, 2, 3
	room := h.group(ann, "bob", "carl")
	for _, user := range []int{ann, bob, carl} {
		if told := h.watch(user, room); len(told.Presences) != 3 {
			t.Fatalf("watch is answered with %v", told)
		}
	}
	change := func(user int, q *wire.ChangeMembers) {
		t.Helper()
		q.Conversation = room
		if m := h.ask(user, &wire.Request{ChangeMembers: q}); m.Done == nil {
			t.Fatal(m)
		}
	}
	change(ann, &wire.ChangeMembers{Remove: []string{"bob"}})
	change(carl, &wire.ChangeMembers{Remove: []string{"carl"}})
	change(ann, &wire.ChangeMembers{Add: []string{"dora"}})
	wantError(t, h.ask(bob, &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{room}}}), parley.NotMember)
	eventually(t, "the members to be followed", func() bool { s := h.router.Stats(); return s.Watches == 1 && s.Watched == 2 })
	h.end(dora)
	h.heard(ann, "that dora has gone", of("dora", false))
	h.connect("dora", parley.DeviceID{})
	h.heard(ann, "that dora is back", of("dora", true))
	h.end(bob)
	h.silent(ann, "bob belongs no longer")
	h.typing(ann, room, true)
	h.silent(bob, "he belongs no longer")
	h.silent(carl, "he has left")
}

// The members are followed also while those who watch are at their end, for others
// may come before that.
func TestMembersAreFollowedThoughNobodyIsOnline(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.group(0, "bob")
	h.watch(0, room)
	h.sockets.mu.Lock()
	clear(h.sockets.online)
	h.sockets.mu.Unlock()
	c, _ := conversationOf(room)
	if err := h.service.Remove(t.Context(), h.users[0], c, h.users[1].User); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal to be followed", func() bool { return h.router.Stats().Watched == 1 })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A request to watch that a worker carries out late does not undo a newer one, and
// one of a session that has ended leaves nothing.
func TestLateWatchesChangeNothing(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	w := h.router.watches
	c, _ := conversationOf(room)
	first, second := w.ask(1, h.users[0]), w.ask(1, h.users[0])
	if err := w.set(1, second, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.set(1, first, []place{{h.users[0].Tenant, c}}); err != nil {
		t.Fatal(err)
	}
	if pairs, _ := w.levels(); pairs != 0 {
		t.Error("an older request won")
	}
	turn := w.ask(1, h.users[0])
	w.ended(1)
	if err := w.set(1, turn, []place{{h.users[0].Tenant, c}}); err != nil {
		t.Fatal(err)
	}
	if pairs, _ := w.levels(); pairs != 0 || len(w.open) != 0 || len(w.sessions) != 0 {
		t.Error("a session that has ended watches")
	}
}

func TestWatchesAreBounded(t *testing.T) {
	h := open(t, Options{WatchesMax: 2, WatchedMax: 3}, chat.Options{}, "ann", "bob")
	room, small := h.direct(0, "bob"), h.group(0)
	h.watch(0, room)
	h.watch(1, room)
	wantError(t, h.ask(0, &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{room, small}}}), parley.Overloaded)
	h.watch(0, small)
	h.watch(1)
	h.watch(1, room)
	h.watch(0)
	if n := h.router.Stats().OverloadedWatches; n != 1 {
		t.Errorf("%d were counted", n)
	}
	big := h.group(0, "bob")
	h.watch(0, big) // from three members on there is no room
	wantError(t, h.ask(1, &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{room, big}}}), parley.Overloaded)
}

// broken is a registry that can not ask.
type broken struct{ Presence }

func (b broken) Online(_ context.Context, users []parley.UserID, into []bool) error {
	into[0] = true
	return errors.New("nobody answers")
}

// Where the registry can not be asked, what is known is told, and that it is not
// all.
func TestPresenceIsDegraded(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	h.router.presence = broken{h.registry}
	m := h.ask(0, &wire.Request{Presence: &wire.GetPresence{Users: []string{"bob", "ann"}}})
	if p := m.Presences; p == nil || !p.Degraded || !p.Presences[0].Online || p.Presences[1].Online {
		t.Errorf("told %v", m)
	}
	if m := h.ask(0, h.text(0, room, 1, "hello")); m.Sent == nil {
		t.Errorf("send: %v", m)
	}
}

// leaving is a registry that says who is there, and has one of them gone before the
// answer is used.
type leaving struct {
	Presence
	h    *house
	user int
	told chan struct{} // closed when his going was told
}

func (l *leaving) Online(ctx context.Context, users []parley.UserID, into []bool) error {
	err := l.Presence.Online(ctx, users, into)
	go func() {
		defer close(l.told)
		l.h.router.Changed(l.h.users[l.user].User, false)
	}()
	time.Sleep(30 * time.Millisecond)
	l.h.sockets.mu.Lock()
	defer l.h.sockets.mu.Unlock()
	if told := l.h.sockets.hinted[1]; len(told) > 0 {
		l.h.t.Errorf("told before the answer: %v", told)
	}
	return err
}

// A change that comes while an answer is made is told behind it.
func TestChangesAreToldBehindAnswers(t *testing.T) {
	for name, q := range map[string]func(room []byte) *wire.Request{
		"watch": func(room []byte) *wire.Request {
			return &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{room}}}
		},
		"presence": func([]byte) *wire.Request { return &wire.Request{Presence: &wire.GetPresence{Users: []string{"bob"}}} },
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, Options{}, chat.Options{}, "ann", "bob")
			room := h.direct(0, "bob")
			h.watch(0, room)
			l := &leaving{Presence: h.registry, h: h, user: 1, told: make(chan struct{})}
			h.router.presence = l
			m := h.ask(0, q(room))
			if !of("bob", true)(m) {
				t.Errorf("answered with %v", m)
			}
			<-l.told
			h.heard(0, "that bob has gone", of("bob", false))
		})
	}
}
