package chat

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

var update = flag.Bool("update", false, "write testdata anew")

var (
	goldenRoom = parley.ConversationID{0: 0xc0, 15: 1}
	goldenAnn  = parley.UserID{0: 0xa0, 15: 1}
	goldenBob  = parley.UserID{0: 0xb0, 15: 2}

	goldenDevice = Device{
		ID: parley.DeviceID{0: 0xd0, 15: 3}, Name: "Änn's phone", Platform: "Android",
		Token: [16]byte{0: 0xe0, 15: 4}, TokenExpires: time.UnixMicro(1767229200000000),
	}
)

// goldenCommands are bodies of every kind.
func goldenCommands() map[string][]byte {
	draft := parley.Draft{Conversation: goldenRoom, Stream: 0x0102030405060708, Number: 9, Kind: parley.KindImage, Body: []byte("body")}
	return map[string][]byte{
		"settings": (&settings{bodyMax: 1 << 16, groupMax: 300, fanoutMax: 20}).appendBody(nil),
		"user":     appendUser(nil, goldenAnn, "ann"),
		"create":   appendCreate(nil, goldenRoom, goldenAnn, parley.Group, "títle", []parley.UserID{goldenBob}),
		"add":      appendAdd(nil, goldenRoom, goldenAnn, []parley.UserID{goldenBob, {15: 3}}),
		"remove":   appendRemove(nil, goldenRoom, goldenAnn, goldenBob),
		"role":     appendRole(nil, goldenRoom, goldenAnn, goldenBob, parley.RoleAdmin),
		"send":     appendSend(nil, goldenAnn, &draft),
		"mark":     appendMark(nil, mark{goldenRoom, goldenBob, 12, 11, 10, 4}),
		"prefer":   appendPrefer(nil, goldenRoom, goldenBob, preferMute, 1767225600000000),
		"rename":   appendRename(nil, goldenRoom, goldenAnn, "tïtle"),
		"connect":  appendConnect(nil, goldenAnn, &goldenDevice, 1767225600000001),
		"seen":     appendSeen(nil, &Seen{goldenAnn, goldenDevice.ID, time.UnixMicro(1767225602000000)}),
		"revoke":   appendDevice(nil, goldenAnn, goldenDevice.ID),
		"profile":  appendProfile(nil, goldenAnn, changeName|changePrivacy, Profile{Name: "Änn", LastSeenTo: parley.Nobody}),
		"beat":     appendBeat(nil, 1767225600000001, 1767225630000000),
	}
}

// goldenRows are rows of every table.
func goldenRows() map[string]engine.Row {
	ann := member{
		user: goldenAnn, role: parley.RoleOwner, unread: true, muted: 1767225600000000, delivered: 20, read: 19,
		ordinal: 17, ownAtRead: 5, own: 6, lastOwn: 20, belongs: []parley.SeqRange{{From: 1}},
	}
	ann.streams.Accept(0x0102030405060708, 6, 20, 0xdeadbeef)
	ann.streams.Forgotten = 7
	bob := member{
		user: goldenBob, left: 31, delivered: 18, read: 18, ordinal: 16,
		belongs: []parley.SeqRange{{From: 1, To: 5}, {From: 8, To: 18}},
	}
	return map[string]engine.Row{
		"conversation": &conversation{
			tenant: 3, kind: parley.Group, title: "títle", created: 1767225600000000, changed: 1767225601000000,
			hour: 490896, ordinal: 18, version: 33, members: []member{ann, bob},
		},
		"settings": &settings{bodyMax: 1 << 16, groupMax: 300, fanoutMax: 20},
		"subject":  &subject{id: goldenAnn},
		"user":     &user{tenant: 3, created: 1767225600000000, subject: "ann"},
		"account": &account{
			privacy: parley.Everybody, name: "Änn", picture: "https://example.com/ann.png",
			devices: []accountDevice{
				{id: goldenDevice.ID, name: "Änn's phone", platform: "Android", created: 1767225600000000, at: 1767225601000000,
					epoch: 1767225600000001, token: goldenDevice.Token, expires: 1767229200000000},
				{created: 1767225602000000, at: 1767225603000000},
			},
			revoked: []revoked{{parley.DeviceID{0: 0xd1}, [16]byte{0: 0xe1}, 1767229200000000}},
			gone:    1767225604000000,
		},
		"beats": &beats{epochs: []beat{{1767225600000001, 1767225630000000}, {1767225700000000, 1767225700000000}}},
	}
}

var goldenTables = map[string]uint8{
	"conversation": engine.TableConversation, "settings": tableSettings, "subject": tableSubject, "user": tableUser,
	"account": tableAccount, "beats": tableBeats,
}

// The golden file is the format's promise: what stands in a log or a catalogue
// is read by every later program, and written the same.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1.golden")
	var now bytes.Buffer
	for _, name := range []string{"settings", "user", "create", "add", "remove", "role", "send", "mark", "prefer", "rename", "connect", "seen", "revoke", "profile", "beat"} {
		fmt.Fprintf(&now, "command %s %x\n", name, goldenCommands()[name])
	}
	for _, name := range []string{"conversation", "settings", "subject", "user", "account", "beats"} {
		fmt.Fprintf(&now, "row %s %x\n", name, goldenRows()[name].AppendTo(nil))
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := bufio.NewScanner(bytes.NewReader(golden))
	got := bufio.NewScanner(&now)
	for want.Scan() {
		if !got.Scan() || got.Text() != want.Text() {
			t.Errorf("written is\n%s\nand was\n%s", got.Text(), want.Text())
		}
		if f := strings.Fields(want.Text()); f[0] == "row" {
			checkGoldenRow(t, f[1], f[2])
		}
	}
	if got.Scan() {
		t.Errorf("%s is not in the golden file", got.Text())
	}
}

// checkGoldenRow reads a row and writes it again.
func checkGoldenRow(t *testing.T, name, text string) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	row, err := (&Machine{}).DecodeRow(engine.Key{Table: goldenTables[name]}, b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if again := row.AppendTo(nil); !bytes.Equal(again, b) {
		t.Errorf("%s: read and written again it is %x", name, again)
	}
	for n := range b { // no part of a row is a row
		if _, err := (&Machine{}).DecodeRow(engine.Key{Table: goldenTables[name]}, b[:n]); err == nil {
			t.Errorf("%s: %d of %d bytes are read as a row", name, n, len(b))
		}
	}
}
