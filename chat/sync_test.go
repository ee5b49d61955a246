package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parleychat/parley"
)

// list syncs from a cursor to the end of the listing. Between two pages it calls
// meanwhile.
func (w *world) list(u Login, from Cursor, limit int, meanwhile func(page int)) (all []State, last SyncPage) {
	w.t.Helper()
	for n := 1; ; n++ {
		page, err := w.Sync(u.Identity, from, limit)
		w.check(err)
		if len(page.Conversations) > limit {
			w.t.Errorf("%d conversations on a page of %d", len(page.Conversations), limit)
		}
		all = append(all, page.Conversations...)
		if !page.More {
			return all, page
		}
		if n > 100 {
			w.t.Fatal("the listing does not end")
		}
		from = page.Cursor
		if meanwhile != nil {
			meanwhile(n)
		}
	}
}

func conversations(states []State) (list []parley.ConversationID) {
	for _, st := range states {
		list = append(list, st.Conversation)
	}
	return list
}

// What moves to the front of a listing while it is under way is still in it, or
// a device would take it for gone.
func TestNothingIsMissedBetweenPages(t *testing.T) {
	w := open(t, Options{})
	u := w.users(8)
	var rooms []parley.ConversationID
	for _, peer := range u[1:] {
		rooms = append(rooms, w.direct(u[0], peer))
	}
	all, last := w.list(u[0], nil, 2, func(page int) {
		if page <= 3 { // the one that would come last
			w.say(u[page], rooms[page-1], "hello")
		}
	})
	if !last.Authoritative {
		t.Error("the listing of everything does not say so")
	}
	for i, c := range rooms {
		if !slices.Contains(conversations(all), c) {
			t.Errorf("conversation %d is not in the listing", i)
		}
	}
	newest := make(map[parley.ConversationID]State)
	for _, st := range all {
		if newest[st.Conversation].Version < st.Version {
			newest[st.Conversation] = st
		}
	}
	for _, c := range rooms {
		if st := w.state(u[0], c); newest[c] != st {
			t.Errorf("%v: listed %+v, shown %+v", c, newest[c], st)
		}
	}
	// From here on only what changes.
	w.say(u[5], rooms[4], "hello")
	all, last = w.list(u[0], last.Cursor, 2, nil)
	if !slices.Contains(conversations(all), rooms[4]) || last.Authoritative {
		t.Errorf("listed %v, authoritative %v", conversations(all), last.Authoritative)
	}
	w.say(u[5], rooms[4], "hello")
	w.say(u[6], rooms[5], "hello")
	all, _ = w.list(u[0], last.Cursor, 10, nil)
	if n := len(all); n < 2 || n > 3 {
		t.Errorf("%d conversations changed, want 2, and perhaps the last of before", n)
	}
	if all[0].Conversation != rooms[5] {
		t.Error("the newest is not the first")
	}
}

// Changes of one stamp, as under a clock that was put back, are all told.
func TestSyncUnderAStandingClock(t *testing.T) {
	w := open(t, Options{})
	u := w.users(4)
	a, b, c := w.direct(u[0], u[1]), w.direct(u[0], u[2]), w.direct(u[0], u[3])
	w.clock.pass(-time.Minute)
	_, last := w.list(u[0], nil, 1, nil)
	for _, room := range []parley.ConversationID{a, b, c} {
		peer := map[parley.ConversationID]Login{a: u[1], b: u[2], c: u[3]}[room]
		r := w.say(peer, room, "x")
		var all []State
		all, last = w.list(u[0], last.Cursor, 1, nil)
		i := slices.Index(conversations(all), room)
		if i < 0 || all[i].Version < r.Version {
			t.Errorf("a change at %v is not told: %v", r.At, conversations(all))
		}
	}
}

// Who left is told so for 90 days, with the version of then; after that, a
// device hears what there is and drops the rest.
func TestTombstones(t *testing.T) {
	w := open(t, Options{})
	u := w.users(3)
	c, direct := w.group(u[0], u[1], u[2]), w.direct(u[0], u[1])
	_, first := w.list(u[1], nil, 10, nil)
	w.check(w.Remove(t.Context(), u[0].Identity, c, u[1].User))
	version := w.state(u[0], c).Version
	w.say(u[0], c, "without him")
	all, last := w.list(u[1], first.Cursor, 10, nil)
	i := slices.Index(conversations(all), c)
	if i < 0 || last.Authoritative {
		t.Fatalf("listed %v, authoritative %v", conversations(all), last.Authoritative)
	}
	want := State{Conversation: c, Version: version, Left: true, Changed: all[i].Changed}
	if all[i] != want || all[i].Changed.Truncate(time.Hour) != all[i].Changed {
		t.Errorf("left: %+v, want %+v", all[i], want)
	}
	// A day later the same cursor says so still, and one from after does not.
	w.clock.pass(24 * time.Hour)
	w.say(u[0], direct, "tick")
	if all, _ := w.list(u[1], first.Cursor, 10, nil); !slices.Contains(conversations(all), c) {
		t.Error("the tombstone is not told on the next day")
	}
	_, last = w.list(u[1], last.Cursor, 10, nil)
	if all, _ := w.list(u[1], last.Cursor, 10, nil); slices.Contains(conversations(all), c) {
		t.Error("an old tombstone is told again")
	}
	w.clock.pass(tombstones)
	w.say(u[0], direct, "tick")
	all, last = w.list(u[1], first.Cursor, 10, nil)
	if !last.Authoritative || !slices.Equal(conversations(all), []parley.ConversationID{direct}) {
		t.Errorf("after 90 days: %v, authoritative %v", conversations(all), last.Authoritative)
	}
	// Back again, he is told the present.
	w.check(w.Add(t.Context(), u[0].Identity, c, u[1].User))
	all, _ = w.list(u[1], last.Cursor, 10, nil)
	if i := slices.Index(conversations(all), c); i < 0 || all[i] != w.state(u[1], c) || all[i].Version <= version {
		t.Errorf("after he came back: %+v", all)
	}
}

func TestCursors(t *testing.T) {
	w := open(t, Options{})
	u := w.users(2)
	w.direct(u[0], u[1])
	_, last := w.list(u[0], nil, 10, nil)
	whole := func(what string, c Cursor) {
		t.Helper()
		p, err := w.Sync(u[0].Identity, c, 10)
		if err != nil || len(p.Conversations) != 1 || !p.Authoritative || p.Incarnation != w.Engine().Incarnation() {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	whole("none", nil)
	at, err := last.Cursor.decode()
	w.check(err)
	foreign, future, newer := at, at, slices.Clone(last.Cursor)
	foreign.incarnation++
	future.since += int64(time.Hour)
	newer[0]++
	whole("of another incarnation", foreign.encode())
	whole("of the future", future.encode())
	whole("of another version", newer)
	_, err = w.Sync(u[0].Identity, last.Cursor[:20], 10)
	want(t, err, parley.BadRequest)
	again, err := at.encode().decode()
	if err != nil || again != at {
		t.Errorf("%+v was read again as %+v, %v", at, again, err)
	}
}

// A cursor is the client's to send: whatever it says, there is an answer.
func FuzzSync(f *testing.F) {
	w := open(f, Options{})
	u := w.users(3)
	w.group(u[0], u[1:]...)
	w.direct(u[0], u[1])
	p, err := w.Sync(u[0].Identity, nil, 1)
	w.check(err)
	f.Add([]byte(p.Cursor), 1)
	f.Add([]byte{}, -1)
	f.Add(make([]byte, cursorSize), 1000)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		page, err := w.Sync(u[0].Identity, b, limit)
		if err != nil {
			want(t, err, parley.BadRequest)
			return
		}
		if len(page.Conversations) > 2 || page.More && len(page.Conversations) == 0 && page.Cursor == nil {
			t.Fatalf("%+v", page)
		}
	})
}

func BenchmarkSync(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		w := open(b, Options{})
		ann := w.user("ann")
		for i := range n {
			id := parley.DirectConversation(0, ann.User, parley.UserID{1, byte(i), byte(i >> 8)})
			w.check(w.create(b.Context(), ann.Identity, id, parley.Direct, "", []parley.UserID{{1, byte(i), byte(i >> 8)}}))
		}
		_, last := w.list(ann, nil, SyncMax, nil)
		for name, from := range map[string]Cursor{"first page": nil, "nothing new": last.Cursor} {
			b.Run(fmt.Sprintf("%s of %d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.Sync(ann.Identity, from, SyncMax); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
