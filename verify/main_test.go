package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/verify"
)

const dir = "data"

// sound is a folder as a power cut leaves it: segments, rows, and commands of
// every kind behind the cut.
type sound struct {
	disk   *vfs.MemFS
	group  parley.ConversationID
	direct parley.ConversationID
	users  []chat.Login
}

func newSound(t testing.TB) *sound {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s, err := chat.Open(disk, dir, chat.Options{BodyMax: 1000, Engine: engine.Options{
		Partitions: 4, HeadSize: 64 << 10, Logger: slog.New(slog.DiscardHandler),
	}})
	if err != nil {
		t.Fatal(err)
	}
	x := &sound{}
	x.work(t, s)
	if err := s.Engine().Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.talk(t, s, 21, 30) // behind the cut
	x.disk = disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *sound) work(t testing.TB, s *chat.Service) {
	ctx := t.Context()
	for i := range 4 {
		insist(t, func() error {
			l, err := s.Login(ctx, parley.DefaultTenant, fmt.Sprintf("user-%d", i), chat.Device{})
			if err == nil {
				x.users = append(x.users, l)
			}
			return err
		})
	}
	insist(t, func() (err error) {
		x.direct, err = s.CreateDirect(ctx, x.users[0].Identity, x.users[1].User)
		return err
	})
	insist(t, func() (err error) {
		x.group, err = s.CreateGroup(ctx, x.users[0].Identity, "group", []parley.UserID{x.users[1].User, x.users[2].User})
		return err
	})
	x.talk(t, s, 1, 10)
	if err := s.Engine().Checkpoint(ctx); err != nil { // two segments
		t.Fatal(err)
	}
	insist(t, func() error { return s.Add(ctx, x.users[0].Identity, x.group, x.users[3].User) })
	insist(t, func() error {
		return s.SetRole(ctx, x.users[0].Identity, x.group, x.users[1].User, parley.RoleAdmin)
	})
	insist(t, func() error { return s.Remove(ctx, x.users[0].Identity, x.group, x.users[2].User) })
	x.talk(t, s, 11, 20)
}

// insist tries again while the node is overloaded: its heads are small, and the
// next may not be ready.
func insist(t testing.TB, try func() error) {
	t.Helper()
	err := try()
	for late := time.Now().Add(10 * time.Second); errors.Is(err, parley.Overloaded) && time.Now().Before(late); err = try() {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// talk sends messages of the numbers, with marks between them.
func (x *sound) talk(t testing.TB, s *chat.Service, from, to parley.Number) {
	t.Helper()
	for n := from; n <= to; n++ {
		for _, c := range []parley.ConversationID{x.direct, x.group} {
			for _, u := range x.users[:2] {
				insist(t, func() error {
					_, err := s.Send(context.Background(), u.Identity, parley.Draft{
						Conversation: c, Stream: u.Stream, Number: n, Kind: parley.KindText, Body: fmt.Appendf(nil, "message %d", n),
					})
					return err
				})
			}
			read := chat.Acknowledgement{Conversation: c, Watermarks: parley.Watermarks{Read: parley.Seq(n)}}
			insist(t, func() error { return s.Acknowledge(context.Background(), x.users[1].Identity, read) })
		}
	}
}

// copy is the folder for one case to damage.
func (x *sound) copy() *vfs.MemFS { return x.disk.CrashClone(vfs.CrashCloneCfg{}) }

// catalogue opens the catalogue of a folder to change it.
func catalogue(t testing.TB, fs vfs.FS, change func(db *pebble.DB)) {
	t.Helper()
	db, err := pebble.Open(fs.PathJoin(dir, "catalogue"), &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: silent{},
	})
	if err != nil {
		t.Fatal(err)
	}
	change(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// edit changes the first value under a prefix for which change reports true. A
// nil value takes the key away.
func edit(t testing.TB, fs vfs.FS, prefix string, change func(key, value []byte) (to []byte, ok bool)) {
	t.Helper()
	catalogue(t, fs, func(db *pebble.DB) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: append([]byte(prefix), 0xff)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = it.Close() }()
		for ok := it.First(); ok; ok = it.Next() {
			key, value := append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...)
			to, yes := change(key, value)
			if !yes {
				continue
			}
			if to == nil {
				err = db.Delete(key, pebble.Sync)
			} else {
				err = db.Set(key, to, pebble.Sync)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Fatalf("nothing to change under %q", prefix)
	})
}

// file reads a file and writes what change makes of it; nil removes it.
func file(t testing.TB, fs vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	b := change(read(t, fs, path))
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil && st.Size() > 0 {
		t.Fatal(err)
	}
	return b
}

// files lists a folder of the store, sorted.
func files(t testing.TB, fs vfs.FS, folder, suffix string) (paths []string) {
	t.Helper()
	names, err := fs.List(fs.PathJoin(dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			paths = append(paths, fs.PathJoin(dir, folder, name))
		}
	}
	return paths
}

// judge verifies a folder: all that is said of it.
func judge(fs vfs.FS) string {
	r, err := verify.Folder(fs, dir)
	if err != nil {
		return err.Error()
	}
	return strings.Join(r.Flaws, "\n")
}
