package chat

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// TestRandom does what users do, at random, and holds every answer to the model.
// PARLEY_SEED runs one seed, PARLEY_SEEDS that many.
func TestRandom(t *testing.T) {
	seeds := uint64(30)
	if underRace {
		seeds = 8
	}
	first, last := uint64(1), setting(t, "PARLEY_SEEDS", seeds)
	if one := setting(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	for seed := first; seed <= last; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { newRandom(t, seed).run(400) })
		if !ok {
			t.Fatalf("repeat with: PARLEY_SEED=%d go test ./chat -run TestRandom", seed)
		}
	}
}

// random is one seed on its way.
type random struct {
	*world
	rng     *rand.Rand
	model   model
	all     []Login // the last is of another tenant
	rooms   []parley.ConversationID
	devices []*device
	shown   map[shownKey]State
}

type shownKey struct {
	user         parley.UserID
	conversation parley.ConversationID
}

func newRandom(t *testing.T, seed uint64) *random {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := &random{rng: rng, shown: make(map[shownKey]State)}
	x.model = model{groupMax: 5, fanoutMax: 3 + rng.IntN(4), rooms: make(map[parley.ConversationID]*modelRoom)}
	x.world = open(t, Options{
		GroupMax: x.model.groupMax, FanoutMax: x.model.fanoutMax,
		Engine: engine.Options{HeadRowsMax: 4 + rng.IntN(60), Partitions: 1 + rng.IntN(5)},
	})
	x.all = x.world.users(6)
	other, err := x.Login(t.Context(), 7, "user-0", Device{})
	x.check(err)
	x.all = append(x.all, other)
	for i := range x.all {
		for range 2 {
			x.devices = append(x.devices, newDevice(x.all[i]))
		}
	}
	return x
}

func (x *random) run(steps int) {
	for len(x.rooms) == 0 {
		x.newRoom()
	}
	for range steps {
		x.step()
		if x.t.Failed() {
			return
		}
	}
	x.compareStates()
	for _, d := range x.devices {
		x.converge(d)
	}
}

func (x *random) user() Login { return x.all[x.rng.IntN(len(x.all))] }

func (x *random) room() parley.ConversationID {
	if x.rng.IntN(30) == 0 {
		return parley.ConversationID{0xff, byte(x.rng.IntN(256))} // there is none
	}
	return x.rooms[x.rng.IntN(len(x.rooms))]
}

func (x *random) step() {
	ctx := x.t.Context()
	u, c := x.user(), x.room()
	switch k := x.rng.IntN(100); {
	case k < 3:
		x.newRoom()
	case k < 35:
		x.send(u, c)
	case k < 50:
		x.acknowledge(u, c)
	case k < 58:
		users := ids([]Login{x.all[x.rng.IntN(6)], x.all[x.rng.IntN(6)]})
		want(x.t, x.Add(ctx, u.Identity, c, users...), x.codeFor(u, func() parley.Code { return x.model.add(c, u.User, users) }))
	case k < 64:
		who := x.user().User
		want(x.t, x.Remove(ctx, u.Identity, c, who), x.codeFor(u, func() parley.Code { return x.model.remove(c, u.User, who) }))
	case k < 68:
		who, role := x.user().User, parley.Role(1+x.rng.IntN(3))
		want(x.t, x.SetRole(ctx, u.Identity, c, who, role), x.codeFor(u, func() parley.Code { return x.model.role(c, u.User, who, role) }))
	case k < 69:
		title := fmt.Sprint("title ", x.rng.IntN(3))
		want(x.t, x.Rename(ctx, u.Identity, c, title), x.codeFor(u, func() parley.Code { return x.model.rename(c, u.User, title) }))
	case k < 72:
		x.prefer(u, c)
	case k < 82:
		x.readHistory(u, c)
	case k < 92:
		x.sync(x.devices[x.rng.IntN(len(x.devices))])
	case k < 95:
		x.compareStates()
	case k < 97:
		x.clock.pass(time.Duration(x.rng.IntN(int(3 * time.Hour))))
	case k < 99:
		x.flush()
	default:
		x.restart()
	}
}

// codeFor is what the model says; a user of another tenant is a stranger
// everywhere.
func (x *random) codeFor(u Login, f func() parley.Code) parley.Code {
	if u.Tenant != parley.DefaultTenant {
		return parley.NotMember
	}
	return f()
}

func (x *random) newRoom() {
	a, b := x.all[x.rng.IntN(6)], x.all[x.rng.IntN(6)]
	if len(x.rooms) >= 8 {
		return
	}
	if x.rng.IntN(2) == 0 {
		id, err := x.CreateDirect(x.t.Context(), a.Identity, b.User)
		if a.User == b.User {
			want(x.t, err, parley.BadRequest)
			return
		}
		x.check(err)
		if x.model.rooms[id] == nil {
			x.model.create(id, true, a.User, []parley.UserID{b.User})
			x.rooms = append(x.rooms, id)
		}
		return
	}
	var others []parley.UserID
	for _, u := range x.all[:6] {
		if u.User != a.User && x.rng.IntN(2) == 0 && len(others) < x.model.groupMax-1 {
			others = append(others, u.User)
		}
	}
	id, err := x.CreateGroup(x.t.Context(), a.Identity, "title", others)
	x.check(err)
	x.model.create(id, false, a.User, others)
	x.model.rooms[id].title = "title"
	x.rooms = append(x.rooms, id)
}

// send sends some messages as one batch, among them repeats, numbers skipped and
// numbers used again.
func (x *random) send(u Login, c parley.ConversationID) {
	done := make(chan struct{}, 1)
	b := x.NewBatch(func(*Batch) { done <- struct{}{} })
	key := sender{u.Stream, c}
	var drafts []parley.Draft
	next := x.sent[key]
	for range 1 + x.rng.IntN(5) {
		next++
		d := parley.Draft{Conversation: c, Stream: u.Stream, Number: next, Kind: parley.KindText}
		switch x.rng.IntN(12) {
		case 0:
			d.Number = 1 + parley.Number(x.rng.IntN(int(next))) // perhaps sent before
			next--
		case 1:
			d.Number++
			next--
		}
		d.Body = fmt.Appendf(nil, "%d/%d", d.Stream, d.Number)
		if x.rng.IntN(12) == 0 {
			d.Body = append(d.Body, '!') // where it repeats: another body
		}
		_, err := b.Send(u.Identity, &d)
		if err != nil {
			want(x.t, err, parley.NotMember)
			if code := x.codeFor(u, func() parley.Code { _, code := x.model.send(c, message(u, &d)); return code }); code != parley.NotMember {
				x.t.Errorf("refused at once: %v, the model says %v", err, code)
			}
			return
		}
		drafts = append(drafts, d)
	}
	insist(x.t, b.Append)
	<-done
	x.check(b.Err())
	for i := range drafts {
		x.sendResult(u, &drafts[i], b.Outcome(i))
	}
}

func message(u Login, d *parley.Draft) modelMessage {
	return modelMessage{from: u.User, stream: d.Stream, number: d.Number, body: string(d.Body)}
}

func (x *random) sendResult(u Login, d *parley.Draft, o Outcome) {
	seq, code := x.model.send(d.Conversation, message(u, d))
	if code == parley.OK {
		key := sender{d.Stream, d.Conversation}
		x.sent[key] = max(x.sent[key], d.Number)
	}
	got, refused := o.Seq, o.Code
	if o.Code == parley.OK && o.Repeat {
		r, err := x.Repeated(x.t.Context(), u.Identity, d)
		switch {
		case errors.Is(err, parley.NumberReused):
			refused = parley.NumberReused
		case err != nil:
			x.t.Errorf("receipt of a repeat: %v", err)
		case o.Seq != 0 && o.Seq != r.Seq:
			x.t.Errorf("number %d: sequence %d at once and %d by the log", d.Number, o.Seq, r.Seq)
		}
		got = r.Seq
	}
	if refused != code || code == parley.OK && got != seq {
		x.t.Errorf("number %d: %v, sequence %d; the model says %v, %d", d.Number, refused, got, code, seq)
	}
}

func (x *random) acknowledge(u Login, c parley.ConversationID) {
	last := parley.Seq(3)
	if r := x.model.rooms[c]; r != nil {
		last += r.last()
	}
	a := acknowledgement(c, parley.Seq(x.rng.Uint64N(uint64(last))), parley.Seq(x.rng.Uint64N(uint64(last))))
	code := x.codeFor(u, func() parley.Code { return x.model.mark(c, u.User, a.Delivered, a.Read) })
	var done chan struct{}
	b := x.NewBatch(func(*Batch) { close(done) })
	at, err := b.Acknowledge(u.Identity, a)
	switch {
	case errors.Is(err, ErrFacts) || x.rng.IntN(4) == 0:
		want(x.t, x.Acknowledge(x.t.Context(), u.Identity, a), code)
	case err != nil:
		want(x.t, err, code)
	default:
		done = make(chan struct{})
		insist(x.t, b.Append)
		<-done
		x.check(b.Err())
		if o := b.Outcome(at); o.Code != code {
			x.t.Errorf("mark: %v, want %v", o.Code, code)
		}
	}
}

func (x *random) prefer(u Login, c parley.ConversationID) {
	ctx := x.t.Context()
	until, flag := int64(x.rng.IntN(2))*x.clock.micros.Load(), x.rng.IntN(2) == 0
	r := x.model.rooms[c]
	if r == nil || u.Tenant != parley.DefaultTenant || r.member(u.User) == nil {
		want(x.t, x.MarkUnread(ctx, u.Identity, c, flag), parley.NotMember)
		return
	}
	if x.rng.IntN(2) == 0 {
		x.check(x.MarkUnread(ctx, u.Identity, c, flag))
		r.member(u.User).flagged = flag
		return
	}
	at := time.Time{}
	if until > 0 {
		at = time.UnixMicro(until)
	}
	x.check(x.Mute(ctx, u.Identity, c, at))
	r.member(u.User).muted = until
}

// readHistory reads a page and looks at every sequence of it.
func (x *random) readHistory(u Login, c parley.ConversationID) {
	from := parley.Seq(x.rng.IntN(40))
	page, err := x.History(x.t.Context(), u.Identity, c, parley.SeqRange{From: from, To: from + parley.Seq(x.rng.IntN(60))}, x.rng.IntN(2) == 0)
	r := x.model.rooms[c]
	if r == nil || u.Tenant != parley.DefaultTenant || r.places[u.User] == nil {
		want(x.t, err, parley.NotMember)
		return
	}
	x.check(err)
	place := r.places[u.User]
	last := r.last()
	if place.role == 0 {
		last = place.belongs[len(place.belongs)-1].To
	}
	if page.Last != last {
		x.t.Errorf("history: last %d, want %d", page.Last, last)
	}
	next := page.Range.From
	for _, it := range page.Items {
		if it.Withheld != 0 {
			for seq := it.Range.From; seq <= it.Range.To; seq++ {
				if r.sees(u.User, seq) {
					x.t.Errorf("history: %d is withheld and his", seq)
				}
			}
			if it.Range.From != next {
				x.t.Errorf("history: range from %d where %d was due", it.Range.From, next)
			}
			next = it.Range.To + 1
			continue
		}
		m := it.Message
		if m.Seq != next || !r.sees(u.User, m.Seq) {
			x.t.Fatalf("history: message %d where %d was due; his: %v", m.Seq, next, r.sees(u.User, m.Seq))
		}
		next++
		w := r.log[m.Seq-1]
		if m.From != w.from || m.Stream != w.stream || m.Number != w.number || string(m.Body) != w.body || m.Ordinal != r.ordinal(m.Seq) {
			x.t.Errorf("history: %+v, want %+v", m, w)
		}
	}
	if next != page.Range.To+1 && !page.Range.Empty() {
		x.t.Errorf("history: ends at %d of %v", next-1, page.Range)
	}
}

// compareStates holds what each user sees of each conversation to the model, and
// a state to the one of the same version.
func (x *random) compareStates() {
	for id, r := range x.model.rooms {
		for _, u := range x.all {
			st, err := x.State(u.Identity, id)
			if u.Tenant != parley.DefaultTenant || r.member(u.User) == nil {
				want(x.t, err, parley.NotMember)
				continue
			}
			x.check(err)
			p := r.member(u.User)
			muted := int64(0)
			if !st.MutedUntil.IsZero() {
				muted = st.MutedUntil.UnixMicro()
			}
			got := fmt.Sprint(st.Title, st.Last, st.Unread(), st.Ordinal, st.Role, st.Marks, st.MarkedUnread, muted)
			expect := fmt.Sprint(r.title, r.last(), r.unread(u.User), r.ordinal(r.last()), p.role, parley.Watermarks{Delivered: p.delivered, Read: p.read}, p.flagged, p.muted)
			if got != expect {
				x.t.Errorf("%v for %v: %s; the model says %s", id, u.User, got, expect)
			}
			key := shownKey{u.User, id}
			if before, ok := x.shown[key]; ok {
				if st.Version < before.Version || st.Version == before.Version && st != before ||
					st.Marks.Read < before.Marks.Read || st.Marks.Delivered < before.Marks.Delivered {
					x.t.Errorf("%v for %v: %+v became %+v", id, u.User, before, st)
				}
			}
			x.shown[key] = st
		}
	}
}

// device is an installation of a user that syncs now and then.
type device struct {
	user   Login
	cursor Cursor
	old    Cursor // of the page before, in the same listing
	start  Cursor // with which the listing began
	holds  map[parley.ConversationID]State
	listed map[parley.ConversationID]bool // in this listing
	pages  []SyncPage                     // since the newest whole listing began
	began  int                            // where this listing begins in pages
}

func newDevice(u Login) *device {
	return &device{user: u, holds: make(map[parley.ConversationID]State), listed: make(map[parley.ConversationID]bool)}
}

// hold keeps what is newer than what the device has.
func (d *device) hold(page SyncPage) {
	for _, st := range page.Conversations {
		if d.holds[st.Conversation].Version <= st.Version {
			d.holds[st.Conversation] = st
		}
		d.listed[st.Conversation] = true
	}
}

func (x *random) sync(d *device) (more bool) {
	from := d.cursor
	switch x.rng.IntN(10) {
	case 0:
		from = d.old // an answer was lost: it asks again
	case 1:
		from = d.start // it was started again, and kept no more
	}
	if string(from) == string(d.start) {
		clear(d.listed)
		d.began = len(d.pages)
	}
	page, err := x.Sync(d.user.Identity, from, 1+x.rng.IntN(4))
	x.check(err)
	d.pages = append(d.pages, page)
	d.hold(page)
	d.old, d.cursor = from, page.Cursor
	if page.Authoritative {
		maps.DeleteFunc(d.holds, func(c parley.ConversationID, _ State) bool { return !d.listed[c] })
		d.pages, d.began = d.pages[d.began:], 0
	}
	if !page.More {
		d.old, d.start = d.cursor, d.cursor
	}
	return page.More
}

// converge syncs a device to the end: it holds what the server shows, and so
// does one that got all its pages in another order, some twice.
func (x *random) converge(d *device) {
	for range 2 { // the second from the end of a listing
		for n := 0; x.sync(d); n++ {
			if n > 200 {
				x.t.Fatal("a listing does not end, though nothing changes")
			}
		}
	}
	shuffled := newDevice(d.user)
	for range 2 {
		x.rng.Shuffle(len(d.pages), func(i, j int) { d.pages[i], d.pages[j] = d.pages[j], d.pages[i] })
		for _, p := range d.pages {
			shuffled.hold(p)
		}
	}
	for id, r := range x.model.rooms {
		st, err := x.State(d.user.Identity, id)
		member := d.user.Tenant == parley.DefaultTenant && r.member(d.user.User) != nil
		if member {
			x.check(err)
		}
		for _, holds := range []map[parley.ConversationID]State{d.holds, shuffled.holds} {
			held, ok := holds[id]
			switch {
			case member && held != st:
				x.t.Errorf("%v of %v: the device holds %+v, the server %+v", id, d.user.User, held, st)
			case !member && ok && !held.Left:
				x.t.Errorf("%v of %v: the device holds %+v, and he left", id, d.user.User, held)
			}
		}
	}
	if unknown := slices.DeleteFunc(slices.Collect(maps.Keys(d.holds)), func(c parley.ConversationID) bool { return x.model.rooms[c] != nil }); len(unknown) > 0 {
		x.t.Errorf("the device holds %v, which are not there", unknown)
	}
}
