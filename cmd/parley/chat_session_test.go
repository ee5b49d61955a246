package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// What strangers write can not move the cursor, make a line or turn the writing
// around.
func TestChatCleansWhatItShows(t *testing.T) {
	for in, want := range map[string]string{
		"hello":             "hello",
		"grüße 🙂 שלום":      "grüße 🙂 שלום",
		"two\nlines\r\n":    "two�lines��",
		"\x1b[2Jgone":       "�[2Jgone",
		"\u009b31m":         "�31m",
		"abc\u202edcb":      "abc�dcb",
		"para\u2029graph\t": "para�graph�",
	} {
		if got := chatClean(in); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

func TestChatTextOfMessages(t *testing.T) {
	for want, m := range map[string]client.Message{
		"hi":                 {Kind: parley.KindText, Body: []byte("hi")},
		"(image of 3 bytes)": {Kind: parley.KindImage, Body: []byte("abc")},
		"made garden":        {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventCreated, Title: "garden"}},
		"added bob, cat":     {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventAdded, Users: []string{"bob", "cat"}}},
		"removed bob":        {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventRemoved, Users: []string{"bob"}}},
		"left":               {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventLeft}},
		"made bob admin":     {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventRole, Users: []string{"bob"}, Role: parley.RoleAdmin}},
		"named it park":      {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: parley.EventRenamed, Title: "park"}},
		"did something that this version does not know": {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: 99}},
	} {
		if got := chatText(&m); got != want {
			t.Errorf("shows %q, want %q", got, want)
		}
	}
}

func TestChatTextOfPeople(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.Local)
	for want, p := range map[string]client.Presence{
		"online":                        {Online: true},
		"last seen 2026-05-04 03:02:01": {LastSeen: at},
		"offline":                       {},
		"does not show it":              {Hidden: true},
		"not known":                     {LastSeen: at, Unsure: true},
	} {
		if got := chatPresence(p); got != want {
			t.Errorf("%+v shows as %q", p, got)
		}
	}
	for want, d := range map[string]client.DeviceState{
		"0123abcd: ph�ne (linux), online, this one":       {ID: parley.DeviceID{1, 0x23, 0xab, 0xcd, 9}, Device: client.Device{Name: "ph\x1bne", Platform: "linux"}, Online: true, Current: true},
		"nameless: online":                                {Online: true},
		"ff000000: tablet, last seen 2026-05-04 03:02:01": {ID: parley.DeviceID{0xff}, Device: client.Device{Name: "tablet"}, LastSeen: at},
	} {
		if got := chatDevice(&d); got != want {
			t.Errorf("%+v shows as %q", d, got)
		}
	}
}

// Who writes is for people, and for what they look at.
func TestChatTellsWhoWritesOnATerminalOnly(t *testing.T) {
	s := newServerlessChat(t)
	open, other := parley.ConversationID{1}, parley.ConversationID{2}
	s.open = open
	var lines []string
	s.print = func(line string) { lines = append(lines, line) }
	all := []client.TypingChanged{{Conversation: open, Users: []string{"bob"}}, {Conversation: other, Users: []string{"cat"}}, {Conversation: open}, {Conversation: open, Users: []string{"bob", "c\nat"}}}
	for _, tty := range []bool{false, true} {
		s.tty = tty
		for _, e := range all {
			if err := s.show(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	name := "[" + open.String() + "] "
	if want := []string{name + "bob is typing", name + "bob, c�at are typing"}; !slices.Equal(lines, want) {
		t.Errorf("told %q, want %q", lines, want)
	}
}

// newServerlessChat is a session whose client finds nobody.
func newServerlessChat(t *testing.T) *chatSession {
	c, err := client.Open(client.Options{
		URL: "ws://127.0.0.1:1/ws", Logger: slog.New(slog.DiscardHandler),
		Token: func(context.Context) (string, error) { return "", errors.New("none") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newChatSession(c, time.Second)
}

// Each tick is told once, and only of what is one's own.
func TestChatTellsTicksOnce(t *testing.T) {
	var lines []string
	s := newChatSession(nil, time.Second)
	s.print = func(line string) { lines = append(lines, line) }
	v := client.Conversation{ID: parley.ConversationID{1}, Kind: parley.Direct, Members: []client.Member{{User: "bob"}}}
	for _, seq := range []parley.Seq{2, 5} {
		s.noteOwn(v, seq)
	}
	for _, ticks := range []parley.Watermarks{{Delivered: 1}, {Delivered: 3}, {Delivered: 4}, {Delivered: 9, Read: 1}, {Delivered: 9, Read: 2}, {Delivered: 9, Read: 9}, {Delivered: 10, Read: 10}} {
		v.Ticks = ticks
		s.changed(v)
	}
	want := []string{"[bob] 2 ✓✓ delivered", "[bob] 5 ✓✓ delivered", "[bob] 2 ✓✓ read", "[bob] 5 ✓✓ read"}
	if len(lines) != len(want) {
		t.Fatalf("told %q, want %q", lines, want)
	}
	for i := range want {
		if lines[i] != want[i] {
			t.Fatalf("told %q, want %q", lines, want)
		}
	}
}
