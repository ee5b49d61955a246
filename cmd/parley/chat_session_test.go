package main

import (
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
		"did something that this version does not know": {Kind: parley.KindSystem, Event: &client.SystemEvent{Type: 99}},
	} {
		if got := chatText(&m); got != want {
			t.Errorf("shows %q, want %q", got, want)
		}
	}
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
