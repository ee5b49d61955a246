package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/verify"
)

// reader reads a world as a server would show it.
type reader struct {
	t *testing.T
	s *chat.Service
}

func read(t *testing.T, dir string) *reader {
	t.Helper()
	s, err := chat.Open(vfs.Default, dir, chat.Options{Engine: engine.Options{Logger: slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &reader{t, s}
}

func (r *reader) identity(subject string) parley.Identity {
	r.t.Helper()
	id, ok := r.s.User(parley.DefaultTenant, subject)
	if !ok {
		r.t.Fatalf("nobody is called %q", subject)
	}
	return parley.Identity{User: id}
}

// list is what a person has in his list, by name.
func (r *reader) list(by parley.Identity) map[string]chat.State {
	r.t.Helper()
	list := make(map[string]chat.State)
	for cursor, more := chat.Cursor(nil), true; more; {
		page, err := r.s.Sync(by, cursor, chat.SyncMax)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, st := range page.Conversations {
			name := st.Title
			if st.Kind == parley.Direct {
				name, _ = r.s.Subject(st.Peer.User)
			}
			if st.Left {
				name = "left"
			}
			list[name] = st
		}
		cursor, more = page.Cursor, page.More
	}
	return list
}

func (r *reader) messages(by parley.Identity, st chat.State) (all []parley.Message) {
	r.t.Helper()
	for next := parley.Seq(1); next <= st.Last; {
		page, err := r.s.History(r.t.Context(), by, st.Conversation, parley.SeqRange{From: next, To: st.Last}, false)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, it := range page.Items {
			if it.Withheld == 0 {
				all = append(all, it.Message)
			}
		}
		next = page.Range.To + 1
	}
	return all
}

// digest is all that is said in a world, with the moments counted from its end.
func digest(t *testing.T, dir string, o Options) map[string][]string {
	r := read(t, dir)
	world, err := plan(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	d := make(map[string][]string)
	for _, p := range world.people {
		by := r.identity(p.subject)
		for name, st := range r.list(by) {
			key := p.subject + " in " + name
			profile, _ := r.s.Profile(by.User)
			d[key] = append(d[key], fmt.Sprintf("%+v last seen %v ago, devices %v", profile, o.Until.Sub(r.s.LastSeen(by.User)), deviceNames(r.s.Devices(by))))
			d[key] = append(d[key], fmt.Sprintf("%d unread, own marks %v, peer's %v, muted %v", st.Unread(), st.Marks, st.Peer.Watermarks, !st.MutedUntil.IsZero()))
			for _, m := range r.messages(by, st) {
				from, _ := r.s.Subject(m.From)
				line := fmt.Sprintf("%v %s: %s", o.Until.Sub(m.At), from, m.Body)
				if m.Event != nil {
					line += fmt.Sprint(m.Event.Type, len(m.Event.Users), m.Event.Title)
				}
				d[key] = append(d[key], line)
			}
		}
	}
	return d
}

func deviceNames(devices []chat.DeviceState) (names []string) {
	for _, d := range devices {
		names = append(names, fmt.Sprint(d.ID, d.Name, d.Platform))
	}
	return names
}

func TestSameSeedSameWorld(t *testing.T) {
	o := small()
	one, w1 := filled(t, o)
	first := digest(t, one, o)
	o.Until = until.AddDate(0, 0, 7) // the same hour of the same weekday
	two, w2 := filled(t, o)
	second := digest(t, two, o)
	if !maps.EqualFunc(first, second, slices.Equal[[]string]) {
		for k := range first {
			if !slices.Equal(first[k], second[k]) {
				t.Fatalf("%s differs:\n%q\n%q", k, first[k][:3], second[k][:3])
			}
		}
		t.Fatal("other conversations")
	}
	if w2.Until = w1.Until; fmt.Sprint(w1) != fmt.Sprint(w2) {
		t.Errorf("%v and %v", w1, w2)
	}
	o.Seed++
	other, _ := filled(t, o)
	if maps.EqualFunc(first, digest(t, other, o), slices.Equal[[]string]) {
		t.Error("another seed gave the same world")
	}
}

func TestWorldIsAsAskedFor(t *testing.T) {
	o := small()
	dir, w := filled(t, o)
	report, err := verify.Folder(vfs.Default, dir)
	if err != nil || len(report.Flaws) > 0 {
		t.Fatalf("%v %v", err, report)
	}
	if n := len(report.Model.Users); n != o.Users {
		t.Errorf("%d users", n)
	}
	r := read(t, dir)
	world, err := plan(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[parley.ConversationID]bool)
	texts, unread := 0, make(map[uint64]bool)
	oldest := until
	for _, p := range world.people {
		by := r.identity(p.subject)
		for _, st := range r.list(by) {
			if st.Left {
				continue
			}
			if p.subject == w.Main {
				unread[st.Unread()] = true
			}
			last := time.Time{}
			for _, m := range r.messages(by, st) {
				if m.At.Before(last) || m.At.After(until) {
					t.Fatalf("message %d at %v, after one at %v", m.Seq, m.At, last)
				}
				last = m.At
				if oldest.After(m.At) {
					oldest = m.At
				}
			}
			if !seen[st.Conversation] { // ordinals count all, who joined late or not
				texts += int(st.Ordinal)
			}
			seen[st.Conversation] = true
		}
	}
	if texts != o.Messages {
		t.Errorf("%d messages, want %d", texts, o.Messages)
	}
	if len(unread) < 4 {
		t.Errorf("unread counts of the main person are only %v", unread)
	}
	if age := until.Sub(oldest); age < 300*day || age > 731*day {
		t.Errorf("the oldest message is %v old", age)
	}
}

// TestListHasEverything looks for what a screen shows in the main person's list.
func TestListHasEverything(t *testing.T) {
	o := small()
	o.Users, o.Messages = 24, 4000
	dir, w := filled(t, o)
	r := read(t, dir)
	main := r.identity(w.Main)
	list := r.list(main)
	found := make(map[string]bool)
	for _, st := range list {
		messages := r.messages(main, st)
		var newest *parley.Message
		for i := range messages {
			m := &messages[i]
			newest = m
			text := string(m.Body)
			found["markup"] = found["markup"] || strings.Contains(text, "<script>")
			found["Arabic"] = found["Arabic"] || strings.Contains(text, "شكراً")
			found["Hebrew"] = found["Hebrew"] || strings.Contains(text, "תודה")
			found["emoji"] = found["emoji"] || strings.Contains(text, "👨‍👩‍👧‍👦")
			found["link"] = found["link"] || strings.Contains(text, "https://")
			found["long"] = found["long"] || len(text) > 1000
			if m.Event != nil {
				found[fmt.Sprint("event ", m.Event.Type)] = true
			}
		}
		found["muted"] = found["muted"] || !st.MutedUntil.IsZero()
		found["marked unread"] = found["marked unread"] || st.MarkedUnread
		if st.Kind != parley.Direct || newest == nil {
			found["empty"] = found["empty"] || st.Kind == parley.Direct
			continue
		}
		switch own := newest.From == main.User; {
		case !own && st.Unread() > 0:
			found["theirs unread"] = true
		case own && st.Peer.Read >= newest.Seq:
			found["read"] = true
		case own && st.Peer.Delivered >= newest.Seq:
			found["delivered"] = true
		case own:
			found["sent"] = true
		}
	}
	for _, want := range []string{
		"markup", "Arabic", "Hebrew", "emoji", "link", "long", "muted", "marked unread", "empty",
		"theirs unread", "read", "delivered", "sent", "event 1", "event 2", "event 3", "event 4", "event 5", "event 6",
	} {
		if !found[want] {
			t.Errorf("%s has nothing that is %s", w.Main, want)
		}
	}
	if devices := r.s.Devices(main); len(devices) != 3 || devices[1].Name != "Old tablet" || until.Sub(devices[1].Seen) < 400*day {
		t.Errorf("devices %v", devices)
	}
	if ago := until.Sub(r.s.LastSeen(main.User)); ago < 0 || ago > 2*hour {
		t.Errorf("%s was last seen %v ago", w.Main, ago)
	}
	for _, who := range []string{"daniel", "priya", "layla"} {
		p, _ := r.s.Profile(r.identity(who).User)
		if p.Name == "" || len(p.Picture) > 512 {
			t.Errorf("%s shows %+v", who, p)
		}
	}
	if n := list["daniel"].Last; n < 1000 {
		t.Errorf("the longest conversation has %d messages", n)
	}
}

func TestNothingIsSilly(t *testing.T) {
	l, err := loadLibrary()
	if err != nil {
		t.Fatal(err)
	}
	used := func(text string) {
		for rest := text; ; {
			_, after, ok := strings.Cut(rest, "{")
			if !ok {
				return
			}
			slot, after, ok := strings.Cut(after, "}")
			if slot = strings.TrimRight(slot, "0123456789"); !ok || slot != "friend" && len(l.slots[slot]) == 0 {
				t.Errorf("%q has a gap that nothing fills", text)
			}
			rest = after
		}
	}
	for name, scripts := range l.scripts {
		for _, s := range scripts {
			for _, line := range s.lines {
				if name == rawScripts {
					continue
				}
				used(line.text)
				if strings.Count(line.text, "[") != strings.Count(line.text, "]") {
					t.Errorf("%q has a bracket too many", line.text)
				}
			}
			if (name == "mono") != (s.voices == 1) {
				t.Errorf("%s has a script of %d voices: %q", name, s.voices, s.lines[0].text)
			}
		}
	}
	for _, lines := range l.replies {
		for _, line := range lines {
			used(line)
		}
	}
	// Of a few dozen lines in a row hardly any is there twice.
	o := small()
	o.Messages = 5000
	w, err := plan(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	room := w.rooms[0]
	var recent []string
	twice, all := 0, 0
	for room.act < len(room.acts) {
		from, text, _ := room.next()
		if text == "" || strings.ContainsAny(text, "{}") && !strings.Contains(text, "func") {
			t.Fatalf("%d says %q", from, text)
		}
		if slices.Contains(recent, text) && len(text) > 12 {
			twice++
		}
		all++
		recent = append(recent, text)
		recent = recent[max(len(recent)-60, 0):]
	}
	if twice*100 > all*3 {
		t.Errorf("%d of %d lines are said twice within 60", twice, all)
	}
}

func TestSmallestWorlds(t *testing.T) {
	for _, o := range []Options{
		{Users: 3, Messages: 1}, {Users: 3, Messages: 200, Years: 0.01}, {Users: 7, Messages: 11}, {Users: 30, Messages: 300},
	} {
		o.Until, o.Logger = until, slog.New(slog.DiscardHandler)
		t.Run(fmt.Sprint(o.Users, " ", o.Messages), func(t *testing.T) {
			dir, _ := filled(t, o)
			report, err := verify.Folder(vfs.Default, dir)
			if err != nil || len(report.Flaws) > 0 {
				t.Fatalf("%v %v", err, report)
			}
		})
	}
}

func TestFolderIsKnownAgain(t *testing.T) {
	o := small()
	dir, w := filled(t, o)
	o.Seed++
	again, err := Prepare(t.Context(), dir, o)
	if err != nil || again.Seed != w.Seed || !again.Until.Equal(w.Until) {
		t.Errorf("%v, %v", again, err)
	}

	strange := t.TempDir()
	if err := os.WriteFile(filepath.Join(strange, "letter.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(t.Context(), strange, o); !errors.Is(err, ErrFolder) {
		t.Errorf("a folder with something else: %v", err)
	}

	half := filepath.Join(t.TempDir(), "new")
	ctx, stop := context.WithCancel(t.Context())
	o.Progress = func(done, total int) {
		if done > 0 {
			stop()
		}
	}
	if _, err := Prepare(ctx, half, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a fill that was stopped: %v", err)
	}
	if _, err := Prepare(t.Context(), half, o); !errors.Is(err, ErrFolder) {
		t.Errorf("half a world: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Users: 2}, {Users: 1001}, {Messages: -1}, {Messages: 5_000_001}, {Years: 21}, {Years: -1}} {
		if _, err := Prepare(t.Context(), t.TempDir(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
