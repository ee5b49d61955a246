package crashtest

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// lostMax is how long a change may stay unseen whose push was lost: a heartbeat,
// and a moment.
const lostMax = 31 * time.Second

// TestLostPushes runs a server that loses every push. Whatever happens, all
// devices of all users come to show it, and what a fresh device is told.
func TestLostPushes(t *testing.T) {
	t.Parallel()
	bin, err := mutated()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	w := &lossy{t: t, dir: dir, s: mustStart(t, launch{bin: bin, dir: dir, env: []string{"PARLEY_MUTANT=push-dropped"}})}
	for _, user := range []string{"ann", "bob", "cid"} {
		for _, name := range []string{"phone", "laptop"} {
			w.devices = append(w.devices, openDevice(t, w.s, dir, user, name))
		}
	}
	w.live()
	slices.Sort(w.took)
	t.Logf("%d changes seen by all devices without a push: median %v, longest %v",
		len(w.took), w.took[len(w.took)/2].Round(10*time.Millisecond), w.took[len(w.took)-1].Round(10*time.Millisecond))
	if w.took[len(w.took)/2] < 500*time.Millisecond {
		t.Error("pushes arrived")
	}
	pushes, err := w.s.metric("parley_gateway_pushes_total")
	if err != nil || pushes == 0 {
		t.Fatalf("%v pushes would have been made (%v)", pushes, err)
	}
}

// lossy is a world without pushes.
type lossy struct {
	t       *testing.T
	dir     string
	s       *server
	devices []*device // each user's phone and laptop
	took    []time.Duration
	direct  parley.ConversationID // of ann and bob
	group   parley.ConversationID // of all
}

// live does one thing after the other.
func (w *lossy) live() {
	ctx := w.t.Context()
	ann, bob, bobs, cid := w.devices[0], w.devices[2], w.devices[3], w.devices[4]
	all := []string{"ann", "bob", "cid"}
	w.see("a direct conversation", func() (err error) {
		v, err := ann.CreateDirect(ctx, "bob")
		w.direct = v.ID
		return err
	}, all[:2], func(d *device) bool { return w.conversation(d, w.direct).Kind == parley.Direct })
	w.see("a group", func() error {
		v, err := ann.CreateGroup(ctx, "garden", "bob", "cid")
		w.group = v.ID
		return err
	}, all, func(d *device) bool { return w.conversation(d, w.group).Title == "garden" })
	w.see("a message", func() error { return w.send(ann, w.direct, "roses") }, all[:2],
		func(d *device) bool { return w.holds(d, w.direct, "1 ann: roses") })
	w.see("that it was delivered", nil, all[:1],
		func(d *device) bool { return w.conversation(d, w.direct).Tick(1) >= client.Delivered })
	w.see("that it was read", func() error { return bob.MarkRead(w.direct, 0) }, all[:1],
		func(d *device) bool { return w.conversation(d, w.direct).Tick(1) == client.Read })
	w.see("a message in a group", func() error { return w.send(bobs, w.group, "tulips") }, all,
		func(d *device) bool { return w.holds(d, w.group, "2 bob: tulips") })
	w.see("a read on another device", func() error { return cid.MarkRead(w.group, 0) }, all[2:],
		func(d *device) bool { v := w.conversation(d, w.group); return v.Unread() == 0 && v.Marks.Read == 2 })
	until := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	w.see("a mute", func() error { return ann.Mute(ctx, w.direct, until) }, all[:1],
		func(d *device) bool { return w.conversation(d, w.direct).MutedUntil.Equal(until) })
	w.see("its end", func() error { return ann.Mute(ctx, w.direct, time.Time{}) }, all[:1],
		func(d *device) bool { return w.conversation(d, w.direct).MutedUntil.IsZero() })
	w.see("a flag", func() error { return bob.MarkUnread(ctx, w.group, true) }, all[1:2],
		func(d *device) bool { return w.conversation(d, w.group).MarkedUnread })
	w.see("a role", func() error { return ann.SetRole(ctx, w.group, "bob", parley.RoleAdmin) }, all[1:2],
		func(d *device) bool { return w.conversation(d, w.group).Role == parley.RoleAdmin })
	w.see("a removal", func() error { return ann.RemoveMember(ctx, w.group, "cid") }, all,
		func(d *device) bool {
			return w.conversation(d, w.group).Left == (d.user == "cid") && (d.user == "cid" || w.conversation(d, w.group).Last == 4)
		})
	w.see("a message to those who are left", func() error { return w.send(ann, w.group, "weeds") }, all[:2],
		func(d *device) bool { return w.holds(d, w.group, "5 ann: weeds") })
	w.see("an addition", func() error { return bob.AddMembers(ctx, w.group, "cid") }, all,
		func(d *device) bool {
			v := w.conversation(d, w.group)
			return !v.Left && v.Role >= parley.RoleMember && v.Last == 6
		})
	for _, d := range w.devices[4:] {
		if w.holds(d, w.group, "5 ann: weeds") {
			w.t.Errorf("%s shows what was said while he was no member", d.name)
		}
	}
}

// see does something, waits until the devices of some users show it, and then
// holds all devices to fresh ones.
func (w *lossy) see(what string, do func() error, users []string, shows func(*device) bool) {
	w.t.Helper()
	if do != nil {
		if err := do(); err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
	begun := time.Now()
	for _, d := range w.devices {
		if slices.Contains(users, d.user) {
			eventually(w.t, lostMax-time.Since(begun), fmt.Sprintf("%s is shown by %s", what, d.name), func() bool { return shows(d) })
		}
	}
	w.took = append(w.took, time.Since(begun))
	for i := 0; i < len(w.devices); i += 2 {
		w.compare(what, w.devices[i], w.devices[i+1])
	}
}

// compare holds devices of a user to a fresh one, which knows nothing but the
// server's answers.
func (w *lossy) compare(what string, devices ...*device) {
	w.t.Helper()
	fresh := openDevice(w.t, w.s, w.dir, devices[0].user, "fresh device")
	for _, d := range devices {
		for _, id := range []parley.ConversationID{w.direct, w.group} {
			got, want := "", "?"
			for end := time.Now().Add(lostMax); got != want; time.Sleep(10 * time.Millisecond) {
				if got, want = w.view(d, id), w.view(fresh, id); got != want && time.Now().After(end) {
					w.t.Fatalf("after %s, %s shows\n%s\nand the server says\n%s", what, d.name, got, want)
				}
			}
		}
	}
	if err := fresh.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// view is all that a device shows of a conversation. What was there before it
// was told of the conversation, it reads only when the user looks.
func (w *lossy) view(d *device, id parley.ConversationID) string {
	v := w.conversation(d, id)
	if v.Left || v.Kind == 0 {
		return "nothing" // what was, is the device's own
	}
	if v.Kind == parley.Group {
		v.Ticks = parley.Watermarks{} // they are learned by sending
	}
	if _, err := d.History(w.t.Context(), id, parley.SeqRange{}); err != nil {
		return err.Error()
	}
	texts, _ := d.texts(id)
	return fmt.Sprintf("%v %q role %v, last %d, marks %v, ticks %v, unread %d of %+v, flag %v, muted %v: %q",
		v.Kind, v.Title, v.Role, v.Last, v.Marks, v.Ticks, v.Unread(), v.Counts, v.MarkedUnread, v.MutedUntil.UnixMicro(), texts)
}

func (w *lossy) conversation(d *device, id parley.ConversationID) client.Conversation {
	v, _ := d.Conversation(id) // the zero one, if it is not held
	return v
}

func (w *lossy) holds(d *device, id parley.ConversationID, text string) bool {
	texts, _ := d.texts(id)
	return slices.Contains(texts, text)
}

// send sends, and waits for the receipt.
func (w *lossy) send(d *device, id parley.ConversationID, text string) error {
	draft, err := d.SendText(id, text)
	if err != nil {
		return err
	}
	eventually(w.t, patience, "the receipt", func() bool {
		now, err := d.Draft(draft.ID)
		return err == nil && now.Status != client.Queued
	})
	return nil
}
