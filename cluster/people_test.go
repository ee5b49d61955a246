package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

func (h *house) typing(user int, conversation []byte, active bool) {
	h.t.Helper()
	if m := h.ask(user, &wire.Request{Typing: &wire.Typing{Conversation: conversation, Active: active}}); m.Done == nil {
		h.t.Fatalf("typing: %v", m)
	}
}

func types(subject string, active bool) func(*wire.ServerMessage) bool {
	return func(m *wire.ServerMessage) bool {
		return m.Typing != nil && m.Typing.User == subject && m.Typing.Active == active
	}
}

// Typing is told to the others who watch, at most every two seconds, and its end
// always.
func TestTyping(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "ann", "bob", "carl", "eve")
	const ann, tablet, bob, carl, eve = 0, 1, 2, 3, 4
	room := h.group(ann, "bob", "carl")
	for _, user := range []int{ann, tablet, bob} {
		h.watch(user, room)
	}
	h.typing(ann, room, true)
	h.heard(bob, "that ann types", types("ann", true))
	h.typing(ann, room, true)
	h.silent(bob, "a repeat comes too early")
	h.typing(ann, room, false)
	h.heard(bob, "that ann has stopped", types("ann", false))
	h.typing(ann, room, false)
	h.silent(bob, "that was told")
	for _, user := range []int{ann, tablet, carl} {
		h.silent(user, "his own typing, or nothing open")
	}
	h.typing(carl, room, true) // who does not watch may type
	h.heard(bob, "that carl types", types("carl", true))
	h.heard(tablet, "that carl types", types("carl", true))
	wantError(t, h.ask(eve, &wire.Request{Typing: &wire.Typing{Conversation: room, Active: true}}), parley.NotMember)
	if s := h.router.Stats(); s.TypingDropped != 2 || s.Queue != 0 {
		t.Errorf("stats %+v", s)
	}
	h.router.Submit(bob+1, h.users[bob], []*wire.Request{{Typing: &wire.Typing{Conversation: room, Active: true}}})
	h.heard(ann, "that bob types, though he wants no answer", types("bob", true))
}

func TestTypingRate(t *testing.T) {
	var s watcher
	now := time.Unix(1_800_000_000, 0)
	at := func(n byte) place { return place{0, parley.ConversationID{n}} }
	for i, c := range []struct {
		after  time.Duration
		where  byte
		active bool
		want   bool
	}{
		{0, 1, true, true}, {1999 * time.Millisecond, 1, true, false}, {2 * time.Second, 1, true, true},
		{3 * time.Second, 2, true, true}, {3 * time.Second, 1, false, true}, {3 * time.Second, 1, false, false},
		{3500 * time.Millisecond, 1, true, false}, {4 * time.Second, 1, true, true}, {4 * time.Second, 1, false, true},
		{6 * time.Second, 1, false, true}, {6 * time.Second, 3, false, true}, {6 * time.Second, 3, true, false},
	} {
		if got := s.mayType(at(c.where), c.active, now.Add(c.after)); got != c.want {
			t.Errorf("%d: after %v, active %v: passed on = %v", i, c.after, c.active, got)
		}
	}
	passed := 0 // of a session that types everywhere
	for n := range byte(100) {
		if s.mayType(at(100+n), true, now.Add(time.Minute)) {
			passed++
		}
	}
	if passed != typedMax {
		t.Errorf("%d conversations at once", passed)
	}
}

// A large audience is told by a worker.
func TestTypingToMany(t *testing.T) {
	names := []string{"ann", "bob"}
	for range typingAtOnce + 10 {
		names = append(names, "bob")
	}
	h := open(t, Options{}, chat.Options{}, names...)
	room := h.direct(0, "bob")
	for user := range h.users[1:] {
		h.watch(user+1, room)
	}
	h.typing(0, room, true)
	for user := range h.users[1:] {
		h.heard(user+1, "that ann types", types("ann", true))
	}
}

func TestProfiles(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "ann", "bob", "eve")
	const ann, tablet, bob, eve = 0, 1, 2, 3
	room := h.direct(ann, "bob")
	h.watch(bob, room)
	name, picture, hide := "Ann Élan", "https://example.com/ann.png", wire.Audience_AUDIENCE_NOBODY
	m := h.ask(ann, &wire.Request{SetProfile: &wire.SetProfile{Name: &name, Picture: &picture, LastSeenTo: &hide}})
	if p := m.Profiles.GetProfiles(); len(p) != 1 || p[0].User != "ann" || p[0].Name != name || p[0].Picture != picture || p[0].LastSeenTo != hide {
		t.Fatalf("set_profile: %v", m)
	}
	isAnn := func(m *wire.ServerMessage) bool { return m.Profiles != nil && m.Profiles.Profiles[0].User == "ann" }
	if p := h.heard(tablet, "the own profile", isAnn).Profiles.Profiles[0]; p.Name != name || p.LastSeenTo != hide {
		t.Errorf("the other device is told %v", p)
	}
	if p := h.heard(bob, "ann's profile", isAnn).Profiles.Profiles[0]; p.Name != name || p.LastSeenTo != 0 {
		t.Errorf("who watches is told %v", p)
	}
	h.silent(ann, "it has the answer")
	h.silent(eve, "she watches nothing")
	m = h.ask(bob, &wire.Request{Profiles: &wire.GetProfiles{Users: []string{"nobody", "ann", "bob"}}})
	if p := m.Profiles.GetProfiles(); len(p) != 3 || p[0].User != "nobody" || p[0].Name != "" || p[1].Name != name || p[1].LastSeenTo != 0 || p[2].User != "bob" {
		t.Errorf("profiles: %v", m)
	}
	if m := h.ask(bob, &wire.Request{State: &wire.GetState{Conversation: room}}); m.State.Peer.GetName() != name || m.State.Peer.Picture != picture {
		t.Errorf("state: %v", m)
	}
	m = h.ask(bob, &wire.Request{Members: &wire.ListMembers{Conversation: room}})
	if !slices.ContainsFunc(m.Members.GetMembers(), func(m *wire.Member) bool { return m.User == "ann" && m.Name == name && m.Picture == picture }) {
		t.Errorf("members: %v", m)
	}
	bad := wire.Audience(9)
	wantError(t, h.ask(ann, &wire.Request{SetProfile: &wire.SetProfile{LastSeenTo: &bad}}), parley.BadRequest)
	wantError(t, h.ask(ann, &wire.Request{Profiles: &wire.GetProfiles{Users: make([]string, 201)}}), parley.BadRequest)
}

func TestRename(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.group(0, "bob")
	if m := h.ask(0, &wire.Request{Rename: &wire.Rename{Conversation: room, Title: "another"}}); m.Done == nil {
		t.Fatal(m)
	}
	h.sockets.await(t, 2, func(told []*wire.ServerMessage) bool {
		event, state := false, false
		for _, m := range told {
			event = event || m.Message.GetEvent().GetType() == wire.EventType_EVENT_RENAMED && m.Message.Event.Title == "another"
			state = state || m.State.GetTitle() == "another" && m.ReplyTo == 0
		}
		return event && state
	})
	wantError(t, h.ask(1, &wire.Request{Rename: &wire.Rename{Conversation: room, Title: "mine"}}), parley.NotAllowed)
}

func deviceID(n byte) parley.DeviceID { return parley.DeviceID{0: n, 15: 1} }

func TestDevices(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann")
	phone, laptop := h.connect("ann", deviceID(1)), h.connect("ann", deviceID(2))
	list := func(user int) []*wire.Device {
		t.Helper()
		m := h.ask(user, &wire.Request{Devices: &wire.ListDevices{}})
		if m.Devices == nil {
			t.Fatal(m)
		}
		return m.Devices.Devices
	}
	if got := list(phone); len(got) != 3 || len(got[0].Device) != 0 || got[0].Current || !got[0].Online ||
		!got[1].Current || got[1].Name != "ann's" || got[1].Platform != "test" || got[1].Created == 0 || got[2].Current || !got[2].Online {
		t.Fatalf("devices %v", got)
	}
	h.end(0)
	h.end(laptop)
	eventually(t, "the ends to be written down", func() bool { return h.router.Stats().Farewells == 0 })
	got := list(phone)
	if len(got) != 2 || got[1].Online || got[1].LastSeen < got[1].Created || !got[0].Online {
		t.Fatalf("devices %v", got)
	}
	laptop = h.connect("ann", deviceID(2))
	second := h.connect("ann", deviceID(2))
	h.end(second)
	if got := list(phone); !got[1].Online {
		t.Errorf("a device with a session left: %v", got[1])
	}
	unknown := deviceID(9)
	wantError(t, h.ask(phone, &wire.Request{RevokeDevice: &wire.RevokeDevice{Device: unknown[:]}}), parley.BadRequest)

	// Revoked, it is told to the sockets behind the answer, and stays out.
	d := deviceID(2)
	if m := h.ask(laptop, &wire.Request{RevokeDevice: &wire.RevokeDevice{Device: d[:]}}); m.Done == nil {
		t.Fatal(m)
	}
	eventually(t, "the sockets to be ended", func() bool {
		h.sockets.mu.Lock()
		defer h.sockets.mu.Unlock()
		return slices.Equal(h.sockets.shutOut, []parley.DeviceID{d})
	})
	h.end(laptop)
	if got := list(phone); len(got) != 1 || !got[0].Current {
		t.Errorf("devices %v", got)
	}
	// Its token was the same as the phone's: no device comes with that any more.
	third := deviceID(3)
	for name, device := range map[string]*wire.Device{"the device": {Device: d[:]}, "another with its token": {Device: third[:]}} {
		if _, _, _, err := h.router.Authenticate(t.Context(), "ann", device); !errors.Is(err, parley.Revoked) {
			t.Errorf("%s comes in: %v", name, err)
		}
	}
}

// A seventeenth device takes the place of the one that was seen longest ago. If that
// is still here it is listed all the same, and can be ended.
func TestSeventeenthDevice(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann")
	var first int
	for n := range byte(17) {
		if s := h.connect("ann", deviceID(n+1)); n == 0 {
			first = s
		}
	}
	list := func() []*wire.Device {
		t.Helper()
		return h.ask(0, &wire.Request{Devices: &wire.ListDevices{}}).Devices.GetDevices()
	}
	got := list()
	if len(got) != 18 || len(got[0].Device) != 0 || got[1].Device[0] != 2 || got[16].Device[0] != 17 {
		t.Errorf("%d devices, %v", len(got), got)
	}
	d := deviceID(1)
	if last := got[len(got)-1]; !slices.Equal(last.Device, d[:]) || !last.Online {
		t.Errorf("the one that made room is listed as %v", last)
	}
	if m := h.ask(0, &wire.Request{RevokeDevice: &wire.RevokeDevice{Device: d[:]}}); m.Done == nil {
		t.Fatal(m)
	}
	eventually(t, "its sockets to be ended", func() bool {
		h.sockets.mu.Lock()
		defer h.sockets.mu.Unlock()
		return slices.Equal(h.sockets.shutOut, []parley.DeviceID{d})
	})
	h.end(first)
	if got := list(); len(got) != 17 {
		t.Errorf("%d devices, %v", len(got), got)
	}
	wantError(t, h.ask(0, &wire.Request{RevokeDevice: &wire.RevokeDevice{Device: d[:]}}), parley.BadRequest)
}

// What has gathered is written down in batches, within a second and at the end.
func TestFarewells(t *testing.T) {
	h := open(t, Options{FarewellsMax: 3}, chat.Options{}, "ann")
	var sessions []int
	for i := range 5 {
		sessions = append(sessions, h.connect(fmt.Sprint("user", i), deviceID(1)))
	}
	for _, s := range sessions {
		h.end(s)
	}
	if s := h.router.Stats(); s.FarewellsDropped+uint64(s.Farewells) < 2 || s.Farewells > 3 {
		t.Errorf("stats %+v", s)
	}
	eventually(t, "what has gathered to be written", func() bool { return h.router.Stats().Farewells == 0 })
	before := time.Now()
	last := h.connect("last", deviceID(1))
	h.end(last)
	u := h.users[last].User
	if at := h.router.lastSeen(u); at.Before(before) {
		t.Errorf("seen last at %v, left after %v", at, before)
	}
	if err := h.router.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last to be applied", func() bool { return !h.service.LastSeen(u).Before(before.Truncate(time.Microsecond)) })
}

// A device that is back before its end was written down is not said to have gone:
// after a crash its user would count as seen then, and not as long as he was there.
func TestFarewellOfWhoIsBack(t *testing.T) {
	f := newFarewells(8)
	now := time.Unix(1_800_000_000, 0)
	phone, laptop := deviceKey{parley.UserID{1}, deviceID(1)}, deviceKey{parley.UserID{1}, deviceID(2)}
	f.greet(phone)
	f.greet(laptop)
	f.leave(phone, now)
	f.leave(laptop, now)
	f.greet(phone)
	if got := f.take(); len(got) != 1 || got[0].Device != laptop.device {
		t.Errorf("written down: %v", got)
	}
	f.leave(phone, now.Add(time.Second))
	if got := f.take(); len(got) != 1 || got[0].Device != phone.device || !got[0].At.Equal(now.Add(time.Second)) {
		t.Errorf("written down: %v", got)
	}
}

// A handshake that is given up while its device is being written down does not leave
// it online in the log.
func TestHandshakeGivenUp(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := deviceID(1)
	for err := error(nil); err == nil; { // the log may be quicker
		var who parley.Identity
		if who, _, _, err = h.router.Authenticate(ctx, "ann", &wire.Device{Device: d[:]}); err == nil {
			h.router.Ended(0, who, d)
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	eventually(t, "the device to be gone", func() bool {
		list := h.service.Devices(h.users[0])
		return len(list) == 2 && list[1].ID == d && list[1].Seen.After(list[1].Created)
	})
}

// What the log refused is told again, unless the device has come back, and its
// user's end is known meanwhile.
func TestFarewellsAreToldAgain(t *testing.T) {
	f := newFarewells(2)
	now := time.Unix(1_800_000_000, 0)
	for n := range byte(2) {
		k := deviceKey{parley.UserID{n}, deviceID(n)}
		f.greet(k)
		f.leave(k, now)
	}
	refused := f.take()
	f.greet(deviceKey{parley.UserID{0}, deviceID(0)})
	for range 3 {
		f.again(refused)
		if refused = f.take(); len(refused) != 1 || refused[0].User != (parley.UserID{1}) {
			t.Fatalf("again: %v", refused)
		}
		if at := f.lastSeen(parley.UserID{1}); !at.Equal(now) {
			t.Errorf("seen last at %v", at)
		}
	}
	f.again(append(refused, refused[0], refused[0]))
	if f.len() != 2 || f.dropped.Load() != 1 {
		t.Errorf("%d wait, %d were dropped", f.len(), f.dropped.Load())
	}
}
