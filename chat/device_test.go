package chat

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// phone is a device with a token of its own.
func phone(n byte, expires time.Time) Device {
	return Device{
		ID: parley.DeviceID{0: 0xd0, 15: n}, Name: fmt.Sprint("phone ", n), Platform: "Android",
		Token: [16]byte{0: 0xe0, 15: n}, TokenExpires: expires,
	}
}

func (w *world) loginWith(subject string, d Device) (Login, error) {
	return w.Login(w.t.Context(), parley.DefaultTenant, subject, d)
}

func (w *world) devices(u Login) (names []string) {
	for _, d := range w.Devices(u.Identity) {
		names = append(names, d.Name)
	}
	return names
}

func TestDevicesAreKept(t *testing.T) {
	w := open(t, Options{})
	later := w.clock.now().Add(time.Hour)
	for n := range byte(16) {
		if _, err := w.loginWith("ann", phone(n+1, later)); err != nil {
			t.Fatal(err)
		}
	}
	ann, err := w.loginWith("ann", phone(1, later)) // the first is the newest again
	w.check(err)
	w.user("ann") // a client that names no device takes nobody's place
	if got := w.devices(ann); len(got) != 17 || got[0] != "phone 1" || got[16] != "" {
		t.Errorf("devices %q", got)
	}
	_, err = w.loginWith("ann", phone(17, later))
	w.check(err)
	w.restart()
	got := w.devices(ann)
	if len(got) != 17 || got[0] != "phone 1" || got[1] != "phone 3" || got[16] != "phone 17" {
		t.Errorf("after a seventeenth: %q, want all but phone 2", got)
	}
	for _, bad := range []Device{
		{Name: strings.Repeat("x", 65)}, {Platform: strings.Repeat("x", 33)}, {Name: "\xff"},
	} {
		_, err := w.loginWith("ann", bad)
		want(t, err, parley.BadRequest)
	}
}

// A device that has been online for long is seen now: it does not make room for
// newer ones that have gone.
func TestOnlineDeviceKeepsItsPlace(t *testing.T) {
	w := open(t, Options{})
	var ann Login
	for n := range byte(17) {
		var err error
		ann, err = w.loginWith("ann", phone(n+1, time.Time{}))
		w.check(err)
		if n > 0 {
			w.Seen([]Seen{{ann.User, phone(n+1, time.Time{}).ID, w.clock.now()}})
		}
	}
	if got := w.devices(ann); len(got) != 16 || got[0] != "phone 1" || got[1] != "phone 3" {
		t.Errorf("devices %q, want all but phone 2", got)
	}
}

// When somebody was here last does not go back because the device is no longer
// known.
func TestForgottenDevicesWereSeen(t *testing.T) {
	w := open(t, Options{})
	ann, err := w.loginWith("ann", phone(1, time.Time{}))
	w.check(err)
	came := w.LastSeen(ann.User)
	w.check(w.Revoke(t.Context(), ann.Identity, phone(1, time.Time{}).ID))
	if got := w.LastSeen(ann.User); !got.Equal(came) {
		t.Errorf("shut out: last seen %v, want %v", got, came)
	}
	w.clock.pass(time.Minute)
	ended := w.clock.now() // its sockets end after it was shut out
	w.Seen([]Seen{{ann.User, phone(1, time.Time{}).ID, ended}, {ann.User, phone(1, time.Time{}).ID, came}})
	w.sync()
	w.flush()
	w.restart()
	if got := w.LastSeen(ann.User); !got.Equal(ended) {
		t.Errorf("its sockets ended: last seen %v, want %v", got, ended)
	}
	if got := w.devices(ann); len(got) != 0 {
		t.Errorf("devices %q", got)
	}
	w.Seen([]Seen{{ann.User, phone(1, time.Time{}).ID, ended.AddDate(1, 0, 0)}})
	w.sync()
	if got := w.LastSeen(ann.User); got.After(w.clock.now()) {
		t.Errorf("seen at %v, which is to come", got)
	}
}

// On a full disk reading goes on, so who is known comes in, and who is shut out
// does not.
func TestLoginOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		room := func(bytes uint64) {
			fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: bytes, TotalBytes: 1 << 30})
			time.Sleep(2 * time.Second)
		}
		w := &world{t: t, fs: fs, opts: testOptions(Options{}), clock: newClock(), sent: make(map[sender]parley.Number)}
		w.opts.Engine.Now, w.opts.Engine.ReserveBytes = w.clock.now, 1<<20
		room(2 << 20)
		w.start()
		defer func() { w.check(w.Close()) }()
		later := w.clock.now().Add(time.Hour)
		ann, err := w.loginWith("ann", phone(1, later))
		w.check(err)
		w.check(w.Revoke(t.Context(), ann.Identity, phone(1, later).ID))
		room(1<<20 - 1)
		again, err := w.loginWith("ann", phone(2, later))
		w.check(err)
		if again.Identity != ann.Identity {
			t.Errorf("ann is %v and was %v", again.Identity, ann.Identity)
		}
		_, err = w.loginWith("ann", phone(1, later))
		want(t, err, parley.Revoked)
		thief := phone(1, later)
		thief.ID = parley.DeviceID{}
		_, err = w.loginWith("ann", thief)
		want(t, err, parley.Revoked)
		_, err = w.loginWith("bob", Device{}) // who is new has nothing to read
		want(t, err, parley.DiskFull)
		gone := w.clock.now()
		seen := make([]Seen, seenMax+1) // of a device that is not written down
		for i := range seen {
			seen[i] = Seen{ann.User, phone(2, later).ID, gone}
		}
		if refused := w.Seen(seen); len(refused) != len(seen) {
			t.Errorf("without room %d of %d were refused", len(refused), len(seen))
		}
		room(1 << 20)
		if refused := w.Seen(seen); len(refused) != 0 {
			t.Errorf("with room %d were refused", len(refused))
		}
		w.sync()
		if got := w.LastSeen(ann.User); !got.Equal(gone) {
			t.Errorf("last seen %v, want %v", got, gone)
		}
	})
}

// A user of before there were devices comes in also when memory is full of rows.
func TestLoginOfAnOldUserWhenRowsAreMany(t *testing.T) {
	w := open(t, Options{Engine: engine.Options{RowsMax: 1}})
	p := w.place(subjectKey(parley.DefaultTenant, "ann").A)
	id := w.drawUser(p)
	if r := w.raw(engine.Command{Partition: p, Kind: kindUser, Body: appendUser(nil, id, "ann")}); r.Code != parley.OK {
		t.Fatal(r.Code)
	}
	ann := w.user("ann")
	if ann.User != id || w.LastSeen(id).IsZero() {
		t.Errorf("ann is %v, want %v; last seen %v", ann.User, id, w.LastSeen(id))
	}
	_, err := w.loginWith("bob", Device{})
	want(t, err, parley.Overloaded)
}

func TestRevokedStaysOut(t *testing.T) {
	w := open(t, Options{})
	expires := w.clock.now().Add(time.Hour)
	ann, err := w.loginWith("ann", phone(1, expires))
	w.check(err)
	_, err = w.loginWith("ann", phone(2, expires))
	w.check(err)
	bob, err := w.loginWith("bob", phone(3, expires))
	w.check(err)

	want(t, w.Revoke(t.Context(), bob.Identity, phone(1, expires).ID), parley.BadRequest) // not his
	want(t, w.Revoke(t.Context(), ann.Identity, phone(9, expires).ID), parley.BadRequest)
	w.check(w.Revoke(t.Context(), ann.Identity, phone(1, expires).ID))
	w.check(w.Revoke(t.Context(), ann.Identity, phone(1, expires).ID)) // again: no news
	w.restart()
	if got := w.devices(ann); len(got) != 1 || got[0] != "phone 2" {
		t.Errorf("devices %q", got)
	}
	_, err = w.loginWith("ann", phone(1, expires))
	want(t, err, parley.Revoked)
	thief := phone(1, expires)
	thief.ID[15] = 99
	_, err = w.loginWith("ann", thief) // the token under another name
	want(t, err, parley.Revoked)
	thief.ID = parley.DeviceID{}
	_, err = w.loginWith("ann", thief)
	want(t, err, parley.Revoked)
	_, err = w.loginWith("ann", phone(2, expires))
	w.check(err)
	_, err = w.loginWith("bob", phone(1, expires)) // what ann shut out is hers
	w.check(err)

	// The token's end is the verifier's to see, the device stays out.
	w.clock.pass(2 * time.Hour)
	fresh := phone(1, w.clock.now().Add(time.Hour))
	fresh.Token[1] = 7
	_, err = w.loginWith("ann", fresh)
	want(t, err, parley.Revoked)
}

func TestLastSeen(t *testing.T) {
	fs := vfs.NewCrashableMem()
	w := &world{t: t, fs: fs, opts: testOptions(Options{}), clock: newClock(), sent: make(map[sender]parley.Number)}
	w.opts.Engine.Now = w.clock.now
	w.start()
	never := w.user("bob")
	w.Seen([]Seen{{User: never.User, At: w.clock.now()}})
	if got := w.LastSeen(parley.UserID{1}); !got.IsZero() {
		t.Errorf("a stranger was seen at %v", got)
	}
	ann, err := w.loginWith("ann", phone(1, time.Time{}))
	w.check(err)
	w.Beat(w.clock.now())

	// Gone in good order, a moment after a device that is not known any more.
	w.clock.pass(time.Minute)
	gone := w.clock.now()
	w.Seen([]Seen{{ann.User, phone(1, gone).ID, gone}, {ann.User, phone(9, gone).ID, gone.Add(-time.Second)}})
	w.sync()
	if got := w.LastSeen(ann.User); !got.Equal(gone) {
		t.Errorf("last seen %v, want %v", got, gone)
	}
	// A word of before the newest connection is no news.
	w.clock.pass(time.Minute)
	_, err = w.loginWith("ann", phone(1, time.Time{}))
	w.check(err)
	came := w.LastSeen(ann.User)
	w.Seen([]Seen{{ann.User, phone(1, gone).ID, gone}})
	w.sync()
	if got := w.LastSeen(ann.User); !got.Equal(came) || !came.After(gone) {
		t.Errorf("last seen %v, want %v", got, came)
	}

	// Killed while she is online: she was there at the last beat.
	w.clock.pass(30 * time.Second)
	beat := w.clock.now()
	w.Beat(beat)
	w.sync()
	killed := fs.CrashClone(vfs.CrashCloneCfg{})
	w.check(w.Close())
	w.fs = killed
	for range 3 {
		w.clock.pass(time.Hour)
		w.start()
		if got := w.LastSeen(ann.User); !got.Equal(beat) {
			t.Errorf("after a crash: last seen %v, want the beat at %v", got, beat)
		}
		if got := w.Devices(ann.Identity); len(got) != 1 || !got[0].Seen.Equal(beat) {
			t.Errorf("after a crash: devices %+v", got)
		}
		w.Beat(w.clock.now())
		w.check(w.Close())
	}
	w.Seen([]Seen{{ann.User, phone(1, gone).ID, w.clock.now()}}) // quietly nothing
	w.Beat(w.clock.now())
}

// sync returns when what was appended before is applied.
func (w *world) sync() {
	w.t.Helper()
	for p := range w.Engine().Partitions() {
		w.raw(engine.Command{Partition: parley.PartitionID(p), Kind: 99}) // refused, in its turn
	}
}

func TestBeatsAreBounded(t *testing.T) {
	w := open(t, Options{})
	for range 3 {
		w.clock.pass(time.Second)
		w.Beat(w.clock.now())
		w.restart()
	}
	r := w.beats()
	if len(r.epochs) != 3 || r.of(r.epochs[1].epoch) != r.epochs[1].at || r.of(1) != 0 {
		t.Errorf("beats %+v", r)
	}
	for n := range uint64(100) {
		w.raw(engine.Command{Partition: w.place(beatsKey.A), Kind: kindBeat, Body: appendBeat(nil, r.epochs[2].epoch+1+n, 1)})
	}
	if r := w.beats(); len(r.epochs) != epochsMax {
		t.Errorf("%d epochs are kept, want %d", len(r.epochs), epochsMax)
	}
}

func TestProfiles(t *testing.T) {
	w := open(t, Options{})
	ann := w.user("ann")
	if p, ok := w.Profile(ann.User); !ok || p != (Profile{}) {
		t.Errorf("a fresh profile is %+v, %v", p, ok)
	}
	if _, ok := w.Profile(parley.UserID{1}); ok {
		t.Error("a stranger has a profile")
	}
	set := func(name, picture string, to parley.Privacy) error {
		_, err := w.SetProfile(t.Context(), ann.Identity, ProfileChange{&name, &picture, &to})
		return err
	}
	w.check(set("Ann Änder", "https://example.com/ann.png", parley.Nobody))
	name := "Ann"
	p, err := w.SetProfile(t.Context(), ann.Identity, ProfileChange{Name: &name})
	w.check(err)
	if p != (Profile{"Ann", "https://example.com/ann.png", parley.Nobody}) {
		t.Errorf("a new name left %+v", p)
	}
	want(t, set(strings.Repeat("x", 101), "", 0), parley.BadRequest)
	want(t, set("", strings.Repeat("x", 513), 0), parley.BadRequest)
	want(t, set("\xff", "", 0), parley.BadRequest)
	want(t, set("", "", 3), parley.BadRequest)
	w.restart()
	if again, _ := w.Profile(ann.User); again != p {
		t.Errorf("after a restart: %+v", again)
	}
	w.check(set("", "", parley.Shared))
	if again, _ := w.Profile(ann.User); again != (Profile{}) {
		t.Errorf("emptied: %+v", again)
	}
}

func TestShare(t *testing.T) {
	w := open(t, Options{})
	u := w.users(4)
	share := func(a, b int, want bool) {
		t.Helper()
		if w.Share(u[a].Identity, u[b].Identity) != want || w.Share(u[b].Identity, u[a].Identity) != want {
			t.Errorf("%d and %d share a conversation: want %v", a, b, want)
		}
	}
	share(0, 0, true)
	share(0, 1, false)
	w.direct(u[0], u[1])
	share(0, 1, true)
	g := w.group(u[0], u[2])
	share(0, 2, true)
	share(1, 2, false)
	w.check(w.Add(t.Context(), u[0].Identity, g, u[3].User))
	share(2, 3, true)
	w.check(w.Leave(t.Context(), u[3].Identity, g))
	share(2, 3, false)
	for range 4 * sharedMax { // who has many is found by those who have few
		w.group(u[3])
	}
	h := w.group(u[3], u[1])
	share(1, 3, true)
	w.check(w.Leave(t.Context(), u[1].Identity, h))
	share(1, 3, false)
	other := u[1].Identity
	other.Tenant = 7
	if w.Share(u[0].Identity, other) {
		t.Error("users of two tenants share a conversation")
	}
}

func TestRename(t *testing.T) {
	w := open(t, Options{})
	u := w.users(4)
	g := w.group(u[0], u[1], u[2])
	w.check(w.SetRole(t.Context(), u[0].Identity, g, u[1].User, parley.RoleAdmin))
	want(t, w.Rename(t.Context(), u[2].Identity, g, "mine"), parley.NotAllowed)
	want(t, w.Rename(t.Context(), u[3].Identity, g, "mine"), parley.NotMember)
	want(t, w.Rename(t.Context(), u[0].Identity, w.direct(u[0], u[1]), "us"), parley.NotAllowed)
	want(t, w.Rename(t.Context(), u[0].Identity, g, strings.Repeat("x", 201)), parley.BadRequest)
	want(t, w.Rename(t.Context(), u[0].Identity, g, "\xff"), parley.BadRequest)
	w.check(w.Rename(t.Context(), u[1].Identity, g, "Grüße"))
	w.check(w.Rename(t.Context(), u[0].Identity, g, "Grüße")) // no news
	w.restart()
	st := w.state(u[2], g)
	items := w.history(u[2], g)
	last := items[len(items)-1].Message
	if st.Title != "Grüße" || st.Last != 3 || st.Unread() != 0 || last.Event == nil ||
		last.Event.Type != parley.EventRenamed || last.Event.Title != "Grüße" || last.From != u[1].User {
		t.Errorf("state %+v, last message %+v", st, last)
	}
}
