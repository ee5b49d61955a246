package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// A stranger, a member of another tenant and a former member learn nothing of a
// conversation, not even whether it exists.
func TestStrangersLearnNothing(t *testing.T) {
	w := open(t, Options{})
	u := w.users(4)
	other, err := w.Login(t.Context(), 7, "user-0", Device{})
	w.check(err)
	group, direct := w.group(u[0], u[1], u[2]), w.direct(u[0], u[1])
	w.say(u[0], group, "secret")
	w.check(w.Remove(t.Context(), u[0].Identity, group, u[2].User))
	w.say(u[0], group, "more")
	missing := parley.ConversationID{1}
	for _, c := range []parley.ConversationID{group, direct, missing} {
		for who, s := range map[string]Login{"stranger": u[3], "other tenant": other, "former member": u[2]} {
			for what, err := range attempts(w, s, c) {
				if errors.Is(err, parley.NotMember) && err.Error() == parley.NotMember.Error() {
					continue
				}
				if what == "history" && who == "former member" && c == group {
					continue // of the time in which he belonged, see below
				}
				t.Errorf("%s, %s of %v: %v, want not_member alone", who, what, c, err)
			}
			if _, err := w.Sent(t.Context(), s.Identity, c, u[0].Stream, 1); !errors.Is(err, parley.ResendUnknown) {
				t.Errorf("%s, sent: %v", who, err)
			}
		}
	}
	page, err := w.History(t.Context(), u[2].Identity, group, parley.SeqRange{From: 1, To: 100}, false)
	w.check(err)
	if page.Last != 3 || page.Range.To != 3 || len(page.Items) != 3 {
		t.Errorf("a former member sees %v of %d", page.Range, page.Last)
	}
	if st, err := w.Sync(u[2].Identity, nil, 10); err != nil || len(st.Conversations) != 0 {
		t.Errorf("a former member's list: %+v, %v", st.Conversations, err)
	}
}

// attempts are all ways to touch a conversation.
func attempts(w *world, s Login, c parley.ConversationID) map[string]error {
	ctx := w.t.Context()
	b := w.NewBatch(func(*Batch) {})
	d := parley.Draft{Conversation: c, Stream: s.Stream, Number: 1, Kind: parley.KindText, Body: []byte("hello")}
	out := make(map[string]error)
	_, out["send"] = w.Send(ctx, s.Identity, d)
	_, out["batched send"] = b.Send(s.Identity, &d)
	out["mark"] = w.Acknowledge(ctx, s.Identity, acknowledgement(c, 1, 1))
	_, out["batched mark"] = b.Acknowledge(s.Identity, acknowledgement(c, 1, 1))
	_, out["history"] = w.History(ctx, s.Identity, c, parley.SeqRange{From: 1, To: 9}, false)
	_, out["state"] = w.State(s.Identity, c)
	_, out["members"] = w.Members(s.Identity, c)
	out["add"] = w.Add(ctx, s.Identity, c, s.User)
	out["remove"] = w.Remove(ctx, s.Identity, c, s.User)
	out["leave"] = w.Leave(ctx, s.Identity, c)
	out["role"] = w.SetRole(ctx, s.Identity, c, s.User, parley.RoleOwner)
	out["mute"] = w.Mute(ctx, s.Identity, c, time.Time{})
	out["flag"] = w.MarkUnread(ctx, s.Identity, c, true)
	return out
}

// The rules are apply's too, where the service did not ask or the answer has
// changed since.
func TestApplyRefusesStrangers(t *testing.T) {
	w := open(t, Options{})
	u := w.users(3)
	c := w.group(u[0], u[1])
	x := u[2].User
	for name, cmd := range map[string]engine.Command{
		"send":   {Kind: kindSend, Body: appendSend(nil, x, &parley.Draft{Conversation: c, Stream: 1, Number: 1, Kind: parley.KindText})},
		"mark":   {Kind: kindMark, Body: appendMark(nil, mark{conversation: c, user: x, delivered: 1})},
		"add":    {Kind: kindAdd, Body: appendAdd(nil, c, x, []parley.UserID{x})},
		"remove": {Kind: kindRemove, Body: appendRemove(nil, c, x, u[1].User)},
		"role":   {Kind: kindRole, Body: appendRole(nil, c, x, x, parley.RoleOwner)},
		"prefer": {Kind: kindPrefer, Body: appendPrefer(nil, c, x, preferMute, 1)},
	} {
		cmd.Partition = w.Engine().Partition(0, c)
		if r := w.raw(cmd); r.Code != parley.NotMember {
			t.Errorf("%s of a stranger: %v", name, r.Code)
		}
		cmd.Tenant = 7
		if r := w.raw(cmd); r.Code != parley.NotMember {
			t.Errorf("%s of another tenant: %v", name, r.Code)
		}
	}
}

// Facts that cannot be are refused: a count would fall below zero.
func TestImpossibleFactsAreRefused(t *testing.T) {
	w := open(t, Options{})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	w.say(u[0], c, "one")
	for _, k := range []mark{
		{conversation: c, user: u[1].User, read: 2}, {conversation: c, user: u[1].User, delivered: 2},
		{conversation: c, user: u[1].User, read: 1, ordinal: 2}, {conversation: c, user: u[1].User, read: 1, ordinal: 1, own: 1},
	} {
		r := w.raw(engine.Command{Partition: w.Engine().Partition(0, c), Kind: kindMark, Body: appendMark(nil, k)})
		if r.Code != parley.BadRequest {
			t.Errorf("%+v: %v", k, r.Code)
		}
	}
}

func TestUsersAreFoundBothWays(t *testing.T) {
	w := open(t, Options{})
	u := w.users(20)
	far, err := w.Login(t.Context(), 9, "user-3", Device{})
	w.check(err)
	check := func() {
		for i, l := range u {
			subject := fmt.Sprintf("user-%d", i)
			if text, ok := w.Subject(l.User); text != subject || !ok {
				t.Errorf("subject of %v: %q, %v", l.User, text, ok)
			}
			if again := w.user(subject); again.User != l.User || again.Stream == l.Stream {
				t.Errorf("%s logged in again as %v with stream %d", subject, again.User, again.Stream)
			}
		}
		if far.User == u[3].User {
			t.Error("two tenants share a user")
		}
		if text, ok := w.Subject(far.User); text != "user-3" || !ok {
			t.Errorf("subject in another tenant: %q, %v", text, ok)
		}
		if text, ok := w.Subject(parley.UserID{1}); ok {
			t.Errorf("nobody is %q", text)
		}
	}
	check()
	w.restart()
	check()
	found, err := w.Users(parley.DefaultTenant, []string{"user-7", "user-2"})
	if err != nil || !slices.Equal(found, []parley.UserID{u[7].User, u[2].User}) {
		t.Errorf("users: %v, %v", found, err)
	}
	_, err = w.Users(parley.DefaultTenant, []string{"user-7", "nobody", "no one"})
	want(t, err, parley.UnknownUser)
	if err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("the error %v names the wrong one", err)
	}
	_, err = w.Users(9, []string{"user-7"})
	want(t, err, parley.UnknownUser)
	_, err = w.Users(parley.DefaultTenant, make([]string, usersMax+1))
	want(t, err, parley.GroupFull)
	if n := testing.AllocsPerRun(100, func() { w.Subject(u[0].User) }); n != 0 && !underRace {
		t.Errorf("a look at a subject allocates %v times", n)
	}
	for _, bad := range []string{"", "a\xff", strings.Repeat("x", subjectMax+1)} {
		_, err := w.Login(t.Context(), 0, bad, Device{})
		want(t, err, parley.BadRequest)
	}
}

// A user's rows lie in one partition, so a command for an id elsewhere, or for
// one that is taken, is refused.
func TestUserCommandsAreHeldToTheirPartition(t *testing.T) {
	w := open(t, Options{Engine: engine.Options{Partitions: 8}})
	ann := w.user("ann")
	p := w.place(subjectKey(0, "bob").A)
	away := w.drawUser((p + 1) % 8)
	if r := w.raw(engine.Command{Partition: p, Kind: kindUser, Body: appendUser(nil, away, "bob")}); r.Code != parley.BadRequest {
		t.Errorf("an id of another partition: %v", r.Code)
	}
	if r := w.raw(engine.Command{Partition: (p + 1) % 8, Kind: kindUser, Body: appendUser(nil, away, "bob")}); r.Code != parley.BadRequest {
		t.Errorf("a subject of another partition: %v", r.Code)
	}
	q := w.place(ann.User)
	name := "x"
	for w.place(subjectKey(0, name).A) != q {
		name += "x"
	}
	if r := w.raw(engine.Command{Partition: q, Kind: kindUser, Body: appendUser(nil, ann.User, name)}); r.Code != parley.AlreadyExists {
		t.Errorf("an id that is taken: %v", r.Code)
	}
	if _, ok := w.User(0, name); ok {
		t.Error("a refused user is there")
	}
}

// A number stands for one message for ever, and is not lost to a refusal.
func TestNumbers(t *testing.T) {
	w := open(t, Options{BodyMax: 1000})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	ctx := t.Context()
	send := func(n parley.Number, body string) (parley.Receipt, error) {
		return w.Send(ctx, u[0].Identity, parley.Draft{Conversation: c, Stream: u[0].Stream, Number: n, Kind: parley.KindText, Body: []byte(body)})
	}
	first, err := send(1, "one")
	w.check(err)
	_, err = send(2, strings.Repeat("x", 1001))
	want(t, err, parley.TooLarge)
	_, err = send(3, "three")
	if e, ok := errors.AsType[*OrderError](err); !ok || e.Expected != 2 {
		t.Errorf("after a refusal: %v", err)
	}
	for n := parley.Number(2); n < 1500; n++ { // far enough that the search has to narrow
		if _, err := send(n, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if n%3 == 0 {
			w.say(u[1], c, "between")
		}
	}
	for _, flush := range []bool{false, true} {
		if flush {
			w.restart()
		}
		for _, n := range []parley.Number{1, 2, 700, 1498, 1499} {
			body := fmt.Sprint(n)
			if n == 1 {
				body = "one"
			}
			r, err := send(n, body)
			if err != nil || r.Version != 0 || n == 1 && (r.Seq != first.Seq || !r.At.Equal(first.At)) {
				t.Errorf("repeat of %d: %+v, %v", n, r, err)
			}
			m, err := w.Sent(ctx, u[0].Identity, c, u[0].Stream, n)
			if err != nil || string(m.Body) != body || m.Seq != r.Seq {
				t.Errorf("sent %d: %+v, %v", n, m, err)
			}
			_, err = send(n, "another")
			want(t, err, parley.NumberReused)
		}
	}
	if st := w.state(u[1], c); st.Last != 1499+499 {
		t.Errorf("last %d", st.Last)
	}
	_, err = w.Sent(ctx, u[0].Identity, c, u[0].Stream, 1500)
	want(t, err, parley.ResendUnknown)
}

// A forgotten stream is not taken for a new one: its client is told to look.
func TestForgottenStreams(t *testing.T) {
	w := open(t, Options{})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	old := u[0]
	w.say(old, c, "old")
	for range engine.StreamsMax {
		w.clock.pass(2 * time.Second)
		u[0] = w.user("user-0") // another device
		w.say(u[0], c, "new")
	}
	_, err := w.Send(t.Context(), old.Identity, parley.Draft{Conversation: c, Stream: old.Stream, Number: 1, Kind: parley.KindText, Body: []byte("old")})
	want(t, err, parley.ResendUnknown)
	m, err := w.Sent(t.Context(), old.Identity, c, old.Stream, 1)
	if err != nil || m.Seq != 1 {
		t.Errorf("found %+v, %v", m, err)
	}
	_, err = w.Sent(t.Context(), old.Identity, c, old.Stream, 2)
	want(t, err, parley.ResendUnknown)
	future := parley.StreamID(uint64(w.clock.now().Unix()+1000) << 32)
	_, err = w.Send(t.Context(), old.Identity, parley.Draft{Conversation: c, Stream: future, Number: 1, Kind: parley.KindText})
	want(t, err, parley.Unavailable)
}

// In a large group nothing moves for each member: delivered is not kept, and
// what one has read is told to him alone.
func TestLargeGroups(t *testing.T) {
	heard := &recorder{}
	w := open(t, Options{FanoutMax: 4, Deliverer: heard})
	u := w.users(6)
	small, large := w.group(u[0], u[1], u[2]), w.group(u[0], u[1], u[2], u[3])
	for _, c := range []parley.ConversationID{small, large} {
		w.say(u[0], c, "one")
		w.say(u[0], c, "two")
		heard.take()
		w.mark(u[1], c, 3, 2)
		told := heard.take()
		st := w.state(u[1], c)
		if st.Marks.Read != 2 || st.Unread() != 1 {
			t.Errorf("read %d, unread %d", st.Marks.Read, st.Unread())
		}
		delivered, to := parley.Seq(3), 3
		if c == large {
			delivered, to = 1, 1 // as when he joined
		}
		if st.Marks.Delivered != delivered || len(told) != 1 || len(told[0].To) != to || told[0].Marker != u[1].User {
			t.Errorf("delivered %d, told %+v", st.Marks.Delivered, told)
		}
	}
	// A member less, and it is no longer large.
	w.check(w.Leave(t.Context(), u[3].Identity, large))
	w.mark(u[1], large, 4, 3)
	if st := w.state(u[1], large); st.Marks.Delivered != 4 {
		t.Errorf("delivered %d in what is small again", st.Marks.Delivered)
	}
	heard.take()
	// Lists of large groups are complete all the same.
	w.check(w.Add(t.Context(), u[0].Identity, large, u[4].User, u[5].User))
	w.clock.pass(5 * time.Hour)
	w.say(u[0], large, "later")
	page, err := w.Sync(u[5].Identity, nil, 10)
	if err != nil || len(page.Conversations) != 1 || page.Conversations[0].Unread() != 1 {
		t.Errorf("list: %+v, %v", page, err)
	}
}

// recorder is a Deliverer that copies what it hears.
type recorder struct{ told []Told }

func (r *recorder) Delivered() {}

func (r *recorder) Deliver(told []Told) {
	for _, t := range told {
		t.To = slices.Clone(t.To)
		t.Message.Body = slices.Clone(t.Message.Body)
		r.told = append(r.told, t)
	}
}

// take returns what was heard since. The caller has waited for an answer, and
// Deliver comes before that.
func (r *recorder) take() []Told {
	told := r.told
	r.told = nil
	return told
}

// Everybody concerned hears of a change, and who was removed hears it last.
func TestTold(t *testing.T) {
	heard := &recorder{}
	w := open(t, Options{Deliverer: heard})
	u := w.users(20)
	ctx := t.Context()
	expect := func(what string, n int, f func(Told) bool) {
		t.Helper()
		told := heard.take()
		if len(told) != 1 || len(told[0].To) != n || !f(told[0]) || told[0].Tenant != 0 || told[0].Version == 0 {
			t.Errorf("%s: %+v", what, told)
		}
	}
	heard.take()
	direct := w.direct(u[0], u[1])
	expect("direct", 2, func(x Told) bool { return x.Conversation == direct && x.Seq == 0 })
	c := w.group(u[0], u[1:18]...)
	expect("group", 18, func(x Told) bool {
		return x.Seq == 1 && x.Message.Event.Type == parley.EventCreated && x.Message.Event.Title == "group" && len(x.Message.Event.Users) == 17
	})
	r := w.say(u[1], c, "hello")
	expect("message", 18, func(x Told) bool {
		return x.Seq == 2 && x.Ordinal == 1 && string(x.Message.Body) == "hello" && x.Message.Stream == u[1].Stream && x.Message.At.Equal(r.At) && x.Version == r.Version
	})
	_, err := w.Send(ctx, u[1].Identity, parley.Draft{Conversation: c, Stream: u[1].Stream, Number: 1, Kind: parley.KindText, Body: []byte("hello")})
	w.check(err)
	if told := heard.take(); len(told) != 0 {
		t.Errorf("a repeat was told: %+v", told)
	}
	w.check(w.Add(ctx, u[0].Identity, c, u[18].User))
	expect("add", 19, func(x Told) bool {
		return x.Message.Event.Type == parley.EventAdded && slices.Contains(x.To, u[18].User)
	})
	w.check(w.Remove(ctx, u[0].Identity, c, u[2].User))
	expect("remove", 19, func(x Told) bool {
		return x.Message.Event.Type == parley.EventRemoved && slices.Contains(x.To, u[2].User) && x.Message.Event.Users[0] == u[2].User
	})
	w.check(w.Leave(ctx, u[3].Identity, c))
	expect("leave", 18, func(x Told) bool { return x.Message.Event.Type == parley.EventLeft && x.Message.From == u[3].User })
	w.say(u[1], c, "without them")
	expect("message after", 17, func(x Told) bool { return !slices.Contains(x.To, u[2].User) && !slices.Contains(x.To, u[3].User) })
	w.check(w.SetRole(ctx, u[0].Identity, c, u[1].User, parley.RoleAdmin))
	expect("role", 17, func(x Told) bool { return x.Message.Event.Role == parley.RoleAdmin })
	w.mark(u[1], c, 7, 6)
	expect("mark", 17, func(x Told) bool { return x.Marker == u[1].User && x.Marks == parley.Watermarks{Delivered: 7, Read: 6} })
	w.check(w.Mute(ctx, u[1].Identity, c, time.Now()))
	expect("mute", 1, func(x Told) bool { return x.To[0] == u[1].User })
	w.check(w.MarkUnread(ctx, u[1].Identity, c, true))
	expect("flag", 1, func(x Told) bool { return x.To[0] == u[1].User })
	w.check(w.MarkUnread(ctx, u[1].Identity, c, true))
	if told := heard.take(); len(told) != 0 {
		t.Errorf("what changed nothing was told: %+v", told)
	}
	w.restart()
	if told := heard.take(); len(told) != 0 {
		t.Errorf("a replay was told: %+v", told)
	}
}

// Messages of one group of the log share the list of a large conversation's
// members, unless it changes between them.
func TestToldInOneGroup(t *testing.T) {
	heard := &recorder{}
	w := open(t, Options{Deliverer: heard})
	u := w.users(20)
	c := w.group(u[0], u[1:]...)
	p := w.Engine().Partition(0, c)
	heard.take()
	send := func(n parley.Number) engine.Command {
		return sendCommand(p, u[0].Identity, appendSend(nil, u[0].User, &parley.Draft{Conversation: c, Stream: u[0].Stream, Number: n, Kind: parley.KindText}))
	}
	remove := engine.Command{Partition: p, Kind: kindRemove, Version: commandVersion, Body: appendRemove(nil, c, u[0].User, u[5].User)}
	add := engine.Command{Partition: p, Kind: kindAdd, Version: commandVersion, Body: appendAdd(nil, c, u[0].User, []parley.UserID{u[5].User})}
	_, err := w.Engine().AppendWait(t.Context(), send(1), send(2), remove, send(3), send(4), add, send(5))
	w.check(err)
	var sizes []int
	for _, x := range heard.take() {
		sizes = append(sizes, len(x.To))
		if with := slices.Contains(x.To, u[5].User); with != (x.Seq < 5 || x.Seq > 6) {
			t.Errorf("message %d was told to who was removed: %v", x.Seq, with)
		}
	}
	if !slices.Equal(sizes, []int{20, 20, 20, 19, 19, 20, 20}) {
		t.Errorf("told to %v", sizes)
	}
}

func TestLimits(t *testing.T) {
	w := open(t, Options{GroupMax: 4, Engine: engine.Options{Partitions: 1, HeadSize: 4 << 20}})
	u := w.users(6)
	ctx := t.Context()
	_, err := w.CreateGroup(ctx, u[0].Identity, "x", ids(u[1:5]))
	want(t, err, parley.GroupFull)
	_, err = w.CreateGroup(ctx, u[0].Identity, strings.Repeat("x", titleMax+1), nil)
	want(t, err, parley.BadRequest)
	_, err = w.CreateGroup(ctx, u[0].Identity, "\xff", nil)
	want(t, err, parley.BadRequest)
	_, err = w.CreateGroup(ctx, u[0].Identity, "x", make([]parley.UserID, usersMax+1))
	want(t, err, parley.GroupFull)
	_, err = w.CreateGroup(ctx, u[0].Identity, "x", []parley.UserID{u[0].User})
	want(t, err, parley.BadRequest)
	_, err = w.CreateDirect(ctx, u[0].Identity, u[0].User)
	want(t, err, parley.BadRequest)
	_, err = w.CreateDirect(ctx, u[0].Identity, parley.UserID{})
	want(t, err, parley.BadRequest)

	c := w.group(u[0], u[1], u[2], u[3])
	want(t, w.Add(ctx, u[0].Identity, c, u[4].User), parley.GroupFull)
	w.check(w.Remove(ctx, u[0].Identity, c, u[3].User))
	w.check(w.Add(ctx, u[0].Identity, c, u[4].User, u[4].User))
	want(t, w.Add(ctx, u[0].Identity, c), parley.BadRequest)

	direct := w.direct(u[0], u[1])
	want(t, w.Leave(ctx, u[0].Identity, direct), parley.NotAllowed)
	want(t, w.Add(ctx, u[0].Identity, direct, u[2].User), parley.NotAllowed)
	again, err := w.CreateDirect(ctx, u[1].Identity, u[0].User)
	if err != nil || again != direct {
		t.Errorf("made again: %v, %v", again, err)
	}
	for range intervalsMax - 1 {
		w.check(w.Leave(ctx, u[1].Identity, c))
		w.check(w.Add(ctx, u[0].Identity, c, u[1].User))
	}
	w.check(w.Leave(ctx, u[1].Identity, c))
	want(t, w.Add(ctx, u[0].Identity, c, u[1].User), parley.NotAllowed)
}

// Coming and going does not let a group's row grow without end.
func TestPlacesAreBounded(t *testing.T) {
	w := open(t, Options{GroupMax: placesMax, Engine: engine.Options{Partitions: 1, HeadSize: 8 << 20}})
	u := w.users(1)
	ctx := t.Context()
	c := w.group(u[0])
	next := uint64(0)
	fresh := func(n int) (list []parley.UserID) {
		for range n {
			next++
			list = append(list, parley.UserID(append(appendU64(nil, next), make([]byte, 8)...)))
		}
		return list
	}
	for range placesMax/usersMax - 1 {
		w.check(w.Add(ctx, u[0].Identity, c, fresh(usersMax)...))
	}
	w.check(w.Add(ctx, u[0].Identity, c, fresh(usersMax-1)...))
	w.check(w.Remove(ctx, u[0].Identity, c, parley.UserID(append(appendU64(nil, 1), make([]byte, 8)...))))
	want(t, w.Add(ctx, u[0].Identity, c, fresh(1)...), parley.GroupFull)
	w.check(w.Add(ctx, u[0].Identity, c, parley.UserID(append(appendU64(nil, 1), make([]byte, 8)...)))) // has his place
}

// New rows are refused when memory is full of them; what stands goes on.
func TestRowsAreBounded(t *testing.T) {
	w := open(t, Options{Engine: engine.Options{RowsMax: 10}})
	u := w.users(3) // three rows each
	c := w.direct(u[0], u[1])
	_, err := w.CreateDirect(t.Context(), u[0].Identity, u[2].User)
	want(t, err, parley.Overloaded)
	_, err = w.Login(t.Context(), 0, "one too many", Device{})
	want(t, err, parley.Overloaded)
	w.say(u[0], c, "goes on")
	w.user("user-1")
}

// What apply obeys is in the log: a restart with other options decides what
// stands as before, and what comes by the new ones.
func TestSettingsAreLogged(t *testing.T) {
	w := open(t, Options{BodyMax: 100})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	w.say(u[0], c, strings.Repeat("x", 100))
	w.opts.BodyMax = 10
	w.restart()
	_, err := w.Send(t.Context(), u[0].Identity, w.draft(u[0], c, strings.Repeat("x", 11)))
	want(t, err, parley.TooLarge)
	body := appendSend(nil, u[0].User, &parley.Draft{Conversation: c, Stream: u[0].Stream, Number: 2, Kind: parley.KindText, Body: make([]byte, 11)})
	if r := w.raw(sendCommand(w.Engine().Partition(0, c), u[0].Identity, body)); r.Code != parley.TooLarge {
		t.Errorf("apply: %v", r.Code)
	}
	w.opts.BodyMax = 0 // the default
	w.restart()
	w.say(u[0], c, strings.Repeat("x", 60<<10))
	if st := w.state(u[1], c); st.Last != 2 {
		t.Errorf("last %d", st.Last)
	}
}

func TestRoles(t *testing.T) {
	w := open(t, Options{})
	u := w.users(5)
	ctx := t.Context()
	c := w.group(u[0], u[1:]...)
	want(t, w.Remove(ctx, u[1].Identity, c, u[2].User), parley.NotAllowed)
	want(t, w.SetRole(ctx, u[1].Identity, c, u[1].User, parley.RoleOwner), parley.NotAllowed)
	want(t, w.SetRole(ctx, u[0].Identity, c, u[1].User, 9), parley.BadRequest)
	w.check(w.SetRole(ctx, u[0].Identity, c, u[2].User, parley.RoleAdmin))
	w.check(w.Remove(ctx, u[2].Identity, c, u[1].User))
	want(t, w.Remove(ctx, u[2].Identity, c, u[0].User), parley.NotAllowed)
	w.check(w.Leave(ctx, u[0].Identity, c)) // the admin inherits
	if st := w.state(u[2], c); st.Role != parley.RoleOwner {
		t.Errorf("the admin is %v", st.Role)
	}
	w.check(w.SetRole(ctx, u[2].Identity, c, u[2].User, parley.RoleMember)) // and cannot leave it without an owner
	list, err := w.Members(u[2].Identity, c)
	w.check(err)
	owners := 0
	for _, m := range list {
		if m.Role == parley.RoleOwner {
			owners++
		}
	}
	if owners != 1 || len(list) != 3 {
		t.Errorf("%d owners of %d", owners, len(list))
	}
}

// An answer is not waited for longer than the caller wants.
func TestWaitingEnds(t *testing.T) {
	w := open(t, Options{})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Mute(ctx, u[0].Identity, c, time.Now()); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("mute: %v", err)
	}
}

// The heir of a group is the member of the highest role, of those the one there
// longest, of those the one with the lowest id.
func TestInheritance(t *testing.T) {
	w := open(t, Options{})
	u := w.users(6)
	ctx := t.Context()
	owner := func(c parley.ConversationID, of Login) parley.UserID {
		t.Helper()
		list, err := w.Members(of.Identity, c)
		w.check(err)
		i := slices.IndexFunc(list, func(m Member) bool { return m.Role == parley.RoleOwner })
		return list[i].User
	}
	for i := 1; i < len(u); i++ {
		c := w.group(u[0], u[1:]...)
		w.check(w.SetRole(ctx, u[0].Identity, c, u[i].User, parley.RoleAdmin))
		w.check(w.Leave(ctx, u[0].Identity, c))
		if got := owner(c, u[1]); got != u[i].User {
			t.Errorf("the admin is %v, the heir %v", u[i].User, got)
		}

		c = w.group(u[0], u[i])
		for j := 1; j < len(u); j++ {
			w.check(w.Add(ctx, u[0].Identity, c, u[j].User))
		}
		w.check(w.Leave(ctx, u[0].Identity, c))
		if got := owner(c, u[1]); got != u[i].User {
			t.Errorf("the oldest member is %v, the heir %v", u[i].User, got)
		}
	}
	c := w.group(u[0], u[1:]...)
	w.check(w.Leave(ctx, u[0].Identity, c))
	lowest := slices.MinFunc(ids(u[1:]), func(a, b parley.UserID) int { return strings.Compare(string(a[:]), string(b[:])) })
	if got := owner(c, u[1]); got != lowest {
		t.Errorf("the lowest id is %v, the heir %v", lowest, got)
	}
}

// A conversation is of one tenant, whatever else fits.
func TestTenantsAreApart(t *testing.T) {
	w := open(t, Options{Engine: engine.Options{Partitions: 1}})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	forged := u[0]
	forged.Tenant = 7
	for what, err := range attempts(w, forged, c) {
		if !errors.Is(err, parley.NotMember) {
			t.Errorf("%s: %v, want not_member", what, err)
		}
	}
	r := w.raw(engine.Command{Tenant: 7, Kind: kindPrefer, Body: appendPrefer(nil, c, u[0].User, preferMute, 1)})
	if r.Code != parley.NotMember {
		t.Errorf("apply: %v", r.Code)
	}
}

// Every number of a long run is found, wherever the search begins.
func TestEveryNumberIsFound(t *testing.T) {
	w := open(t, Options{})
	u := w.users(4)
	for peer, speaks := range map[int]func(seq int) bool{ // whether the peer does
		1: func(int) bool { return false },
		2: func(seq int) bool { return (seq < 300 || seq >= 1200) && seq%10 != 0 },
		3: func(seq int) bool { return seq > 400 && seq < 800 && seq%7 == 0 || seq > 1100 && seq%2 == 0 },
	} {
		c := w.direct(u[0], u[peer])
		var at []parley.Seq // of number n at n-1
		for seq := range 1800 {
			if speaks(seq) {
				w.say(u[peer], c, "y")
			} else {
				at = append(at, w.say(u[0], c, "x").Seq)
			}
		}
		for i := 0; i < len(at); i += 1 + i%7 {
			m, err := w.Sent(t.Context(), u[0].Identity, c, u[0].Stream, parley.Number(i+1))
			if err != nil || m.Seq != at[i] {
				t.Errorf("room %d, number %d: sequence %d, %v; want %d", peer, i+1, m.Seq, err, at[i])
			}
		}
	}
}
