package client

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/parleychat/parley"
)

func openFile(t testing.TB, path string) *FileStore {
	t.Helper()
	s, err := OpenFileStore(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kill ends a client at this very moment, and returns a copy of its file as it
// was then.
func kill(t testing.TB, d *device) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "copy.db")
	d.Client.mu.Lock()
	err := d.store.(*FileStore).db.View(func(tx *bolt.Tx) error { return tx.CopyFile(file, 0o600) })
	d.storeErr = errKilled // nothing is written, sent or told from here on
	d.giveUp(errKilled)
	d.Client.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	d.stop()
	return file
}

var errKilled = errors.New("killed by the test")

// everything is changes that touch all that a store keeps.
func everything() *Changes {
	at := time.Unix(1_700_000_000, 123_000).UTC()
	return &Changes{
		Meta: &Meta{User: "ann", Incarnation: 5, Restoring: true, Cursor: []byte{1, 2}, Stream: 77, Streams: []parley.StreamID{76, 77}, NextDraft: 9, BodyMax: 1000},
		Conversations: []Conversation{{
			ID: room(1), Kind: parley.Group, Title: "garden", Changed: at, Role: parley.RoleOwner, MarkedUnread: true, MutedUntil: at,
			Last: 42, Held: []parley.SeqRange{{From: 1, To: 3}, {From: 40, To: 42}}, Tail: 42,
			Marks: parley.Watermarks{Delivered: 42, Read: 3}, Confirmed: parley.Watermarks{Delivered: 40, Read: 2},
			Members: []Member{{User: "bob", Role: parley.RoleMember, Watermarks: parley.Watermarks{Delivered: 7, Read: 6}}},
			Ticks:   parley.Watermarks{Delivered: 7, Read: 6},
			Counts:  parley.Counts{Ordinal: 40, ReadOrdinal: 3, Own: 4, OwnAtRead: 1}, Counted: 42,
			Version: 50, Incarnation: 5, Doubt: []parley.SeqRange{{From: 9, To: 9}},
		}, {ID: room(2), Left: true}},
		Lanes: []Lane{{Conversation: room(1), Stream: 77, Next: 4, Broken: true}},
		Drafts: []Draft{
			{ID: 7, Conversation: room(1), Stream: 77, Number: 2, Kind: parley.KindText, Status: Sent, Seq: 41, At: at},
			{ID: 8, Conversation: room(1), Stream: 77, Number: 3, Kind: parley.KindImage, Body: []byte{0, 255}, Status: Failed, Code: parley.NotAllowed, Reason: "no"},
		},
		Messages: []Message{
			{Conversation: room(1), Seq: 40, From: "bob", Stream: 9, Number: 1, Kind: parley.KindText, At: at, Body: []byte("hello")},
			{Conversation: room(1), Seq: 41, From: "ann", Stream: 77, Number: 2, Kind: parley.KindImage, At: at, Body: []byte{0, 255}},
			{Conversation: room(1), Seq: 42, Kind: parley.KindSystem, At: at, From: "bob", Event: &SystemEvent{Type: parley.EventAdded, Users: []string{"cat"}, Role: parley.RoleMember, Title: "t"}},
			{Conversation: room(2), Seq: 1, From: "bob", Kind: parley.KindText, At: at, Body: []byte("other")},
		},
	}
}

func check(t testing.TB, s Store, ch *Changes) {
	t.Helper()
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := &Saved{Meta: *ch.Meta, Conversations: ch.Conversations, Lanes: ch.Lanes, Drafts: ch.Drafts}
	if len(got.Conversations) == 2 && got.Conversations[0].ID != room(1) { // a map has no order
		got.Conversations[0], got.Conversations[1] = got.Conversations[1], got.Conversations[0]
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("loaded\n%+v\nwant\n%+v", got, want)
	}
	messages, err := s.Messages(room(1), parley.SeqRange{From: 1, To: 100}, 10)
	if err != nil || !reflect.DeepEqual(messages, ch.Messages[:3]) {
		t.Fatalf("messages %+v, %v, want %+v", messages, err, ch.Messages[:3])
	}
}

func TestStores(t *testing.T) {
	stores := map[string]func(t *testing.T) Store{
		"file":   func(t *testing.T) Store { return openFile(t, filepath.Join(t.TempDir(), "s.db")) },
		"memory": func(*testing.T) Store { return NewMemoryStore() },
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() { _ = s.Close() }()
			if saved, err := s.Load(); err != nil || !reflect.DeepEqual(saved, &Saved{Meta: Meta{NextDraft: 1}}) {
				t.Fatalf("a new store holds %+v, %v", saved, err)
			}
			ch := everything()
			if err := s.Apply(ch); err != nil {
				t.Fatal(err)
			}
			check(t, s, ch)
			if m, err := s.Messages(room(1), parley.SeqRange{From: 41, To: 42}, 1); err != nil || len(m) != 1 || m[0].Seq != 41 {
				t.Fatalf("the first of two: %+v, %v", m, err)
			}
			// Put after cut in the same changes; the rest goes.
			if err := s.Apply(&Changes{
				Dropped: []uint64{7, 8}, Gone: []parley.ConversationID{room(2)},
				Cut:      []Cut{{room(1), parley.SeqRange{From: 41, To: 99}}},
				Messages: []Message{{Conversation: room(1), Seq: 41, Kind: parley.KindText, Body: []byte("new")}},
			}); err != nil {
				t.Fatal(err)
			}
			saved, err := s.Load()
			if err != nil || len(saved.Conversations) != 1 || len(saved.Drafts) != 0 {
				t.Fatalf("after the cut: %+v, %v", saved, err)
			}
			if m, _ := s.Messages(room(1), parley.SeqRange{From: 1, To: 100}, 10); len(m) != 2 || m[0].Seq != 40 || m[1].Text() != "new" {
				t.Fatalf("after the cut: %+v", m)
			}
			if m, _ := s.Messages(room(2), parley.SeqRange{From: 1, To: 100}, 10); len(m) != 0 {
				t.Fatalf("of a conversation that is gone: %+v", m)
			}
		})
	}
}

func TestFileStoreComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := openFile(t, path)
	ch := everything()
	if err := s.Apply(ch); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFile(t, path)
	defer func() { _ = s.Close() }()
	check(t, s, ch)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

// A file of the first version is read for ever. With PARLEY_GOLDEN=1 it is
// made anew, when the version is a new one.
func TestFileStoreReadsTheFirstVersion(t *testing.T) {
	const golden = "testdata/v1.db"
	if os.Getenv("PARLEY_GOLDEN") != "" {
		_ = os.Remove(golden)
		s := openFile(t, golden)
		if err := errors.Join(s.Apply(everything()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "v1.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, path)
	defer func() { _ = s.Close() }()
	check(t, s, everything())
}

func TestFileStoreRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.db")
	s := openFile(t, path)
	if _, err := OpenFileStore(path); !errors.Is(err, ErrInUse) {
		t.Fatalf("a second opening: %v", err)
	}
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("2")) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStore(path); !errors.Is(err, ErrFormat) {
		t.Fatalf("a newer format: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStore(path); !errors.Is(err, ErrFormat) {
		t.Fatalf("no store: %v", err)
	}
	if _, err := OpenFileStore(filepath.Join(dir, "none", "s.db")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no folder: %v", err)
	}
}
