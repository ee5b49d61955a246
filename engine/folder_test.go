package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/tiering/segment"
	"github.com/parleychat/parley/wal"
)

// fill makes a store of so many segments, with a message of each of two
// conversations in every one, and closes it.
func fill(t testing.TB, fs vfs.FS, dir string, segments int) {
	t.Helper()
	e := open(t, fs, dir, Plain{}, Options{})
	extend(t, e, segments)
	closeEngine(t, e)
}

func extend(t testing.TB, e *Engine, segments int) {
	t.Helper()
	for range segments {
		for c := range 2 {
			var next parley.Number
			e.View(e.Partition(0, room(c)), func(v *View) {
				next = 1
				if s := v.Find(ConversationKey(room(c))); s != nil {
					next += parley.Number(s.Last())
				}
			})
			send(t, e, room(c), born(5, 1), next, fmt.Sprint(next))
		}
		if err := e.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// names lists a folder of the store.
func names(t testing.TB, fs vfs.FS, dir, folder string) []string {
	t.Helper()
	all, err := fs.List(fs.PathJoin(dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// refused opens a store that must not be opened.
func refused(t testing.TB, fs vfs.FS, dir string, want error, words ...string) {
	t.Helper()
	e, err := Open(fs, dir, Plain{}, testOptions(Options{}))
	if err == nil {
		closeEngine(t, e)
	}
	if !errors.Is(err, want) {
		t.Fatalf("open: %v, want %v", err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("open: %v, want the word %q", err, w)
		}
	}
}

func TestLocked(t *testing.T) {
	for name, c := range map[string]struct {
		fs  vfs.FS
		dir string
	}{
		"memory": {vfs.NewMem(), testDir},
		"disk":   {vfs.Default, t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, c.fs, c.dir, Plain{}, Options{})
			refused(t, c.fs, c.dir, ErrLocked, c.dir)
			if r := send(t, e, room(1), 1, 1, "x"); r.Seq != 1 {
				t.Errorf("beside a refused open: %+v", r)
			}
			closeEngine(t, e)
			closeEngine(t, open(t, c.fs, c.dir, Plain{}, Options{}))
		})
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Whoever empties the folder of the log, or puts an older copy in its place, is
// told so: opened, the store would give sequences twice.
func TestLogLost(t *testing.T) {
	dir := t.TempDir()
	fill(t, vfs.Default, dir, 2)
	log, older, newer := filepath.Join(dir, logDir), t.TempDir(), t.TempDir()
	copyDir(t, log, older)
	fill(t, vfs.Default, dir, 2)
	copyDir(t, log, newer)

	if err := os.RemoveAll(log); err != nil {
		t.Fatal(err)
	}
	words := []string{"log files were lost or replaced", "record 8", "Restore the whole folder"}
	refused(t, vfs.Default, dir, ErrLogLost, words...)
	refused(t, vfs.Default, dir, ErrLogLost, words...) // and again: no trace of the first try helps
	copyDir(t, older, log)
	refused(t, vfs.Default, dir, ErrLogLost, words...)

	copyDir(t, newer, log)
	e := open(t, vfs.Default, dir, Plain{}, Options{})
	if got := bodies(t, e, room(1)); got != "1 2 3 4" {
		t.Errorf("with its own log again: %s", got)
	}
	closeEngine(t, e)
}

func TestSegmentGone(t *testing.T) {
	fs := vfs.NewMem()
	fill(t, fs, testDir, 3)
	if err := fs.Remove(fs.PathJoin(testDir, segmentsDir, segment.FileName(2))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		refused(t, fs, testDir, ErrCorrupt, segment.FileName(2), "restore")
	}
}

// A segment that no catalogue names is a flush that a crash cut short. It is set
// aside, its id is not given again, and it is deleted once the store was opened
// without it.
func TestSegmentUnnamed(t *testing.T) {
	fs := vfs.NewMem()
	fill(t, fs, testDir, 2)
	dir := fs.PathJoin(testDir, segmentsDir)
	stray := segment.FileName(9)
	for _, name := range []string{stray, "notes.txt"} {
		if err := vfs.Copy(fs, fs.PathJoin(dir, segment.FileName(1)), fs.PathJoin(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, fs, testDir, Plain{}, Options{})
	extend(t, e, 1)
	want := []string{segment.FileName(1), segment.FileName(2), stray + asideSuffix, segment.FileName(10), "notes.txt"}
	if got := names(t, fs, testDir, segmentsDir); !slices.Equal(got, want) {
		t.Errorf("after the first open: %v, want %v", got, want)
	}
	closeEngine(t, e)
	e = open(t, fs, testDir, Plain{}, Options{})
	want = []string{segment.FileName(1), segment.FileName(2), segment.FileName(10), "notes.txt"}
	if got := names(t, fs, testDir, segmentsDir); !slices.Equal(got, want) {
		t.Errorf("after the second open: %v, want %v", got, want)
	}
	if got := bodies(t, e, room(1)); got != "1 2 3" {
		t.Errorf("messages %s", got)
	}
	closeEngine(t, e)
}

// A store without its catalogue cannot be opened once log files were used again.
// However often it is tried, no segment is touched: with the catalogue back it
// is whole.
func TestFailedOpenTouchesNoSegment(t *testing.T) {
	dir := t.TempDir()
	e := open(t, vfs.Default, dir, Plain{}, Options{HeadSize: 64 << 10})
	tr := newTraffic(3, 2, 4000, 3)
	if err := tr.run(e, 1, 60, nil); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	before := names(t, vfs.Default, dir, segmentsDir)
	catalogue, kept := filepath.Join(dir, catalogueDir), filepath.Join(dir, "kept")
	if err := os.Rename(catalogue, kept); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e, err := Open(vfs.Default, dir, Plain{}, testOptions(Options{}))
		if err == nil {
			t.Fatal("opened without its catalogue", e.Close())
		}
		if got := names(t, vfs.Default, dir, segmentsDir); !slices.Equal(got, before) {
			t.Fatalf("segments %v, before %v", got, before)
		}
	}
	if err := errors.Join(os.RemoveAll(catalogue), os.Rename(kept, catalogue)); err != nil {
		t.Fatal(err)
	}
	e = open(t, vfs.Default, dir, Plain{}, Options{})
	if err := tr.check(t, e, true); err != nil {
		t.Error(err)
	}
	closeEngine(t, e)
}

// The folder may be made with those above it: what was acknowledged is not lost
// with the name of one of them.
func TestFolderBelowNewFolders(t *testing.T) {
	fs := vfs.NewCrashableMem()
	const dir = "srv/parley/data"
	e := open(t, fs, dir, Plain{}, Options{})
	send(t, e, room(1), 1, 1, "kept")
	left := fs.CrashClone(vfs.CrashCloneCfg{})
	closeEngine(t, e)
	e = open(t, left, dir, Plain{}, Options{})
	if got := bodies(t, e, room(1)); got != "kept" {
		t.Errorf("after the cut: %q, want what was acknowledged", got)
	}
	closeEngine(t, e)
}

// A segment that is whole and yet not the one the catalogue means gives
// ErrCorrupt: no short answer, and no search without an end.
func TestWrongSegment(t *testing.T) {
	run := segment.Run{Conversation: room(0), Previous: 1, First: 2}
	for _, c := range []struct {
		what  string
		id    uint64
		run   segment.Run
		count int
	}{
		{"another segment", 7, run, 1},
		{"a run that ends too early", 2, run, 0},
		{"a run that begins too late", 2, segment.Run{Conversation: room(0), Previous: 0, First: 3}, 1},
		{"a run of another conversation", 2, segment.Run{Conversation: room(1), Previous: 1, First: 2}, 1},
		{"a run before itself", 2, segment.Run{Conversation: room(0), Previous: 2, First: 3}, 1},
		{"a run before a later one", 2, segment.Run{Conversation: room(0), Previous: 3, First: 3}, 1},
	} {
		fs := vfs.NewMem()
		fill(t, fs, testDir, 3)
		e := open(t, fs, testDir, Plain{}, Options{})
		record := AppendRecord(nil, &Command{Body: make([]byte, plainHeaderSize)})
		c.run.Partition = e.Partition(0, room(0))
		w, err := segment.Create(fs, e.segmentPath(2), c.id)
		if err != nil {
			t.Fatal(err)
		}
		if c.count == 0 { // sequence 1, and not the 2 that is due
			c.run.First, c.count = 1, 1
		}
		err = errors.Join(w.Run(c.run), w.Add(segment.Message{Record: record}))
		if _, finished := w.Finish(); err != nil || finished != nil {
			t.Fatal(err, finished)
		}
		all, err := readAll(t, e, room(0), 2)
		if !errors.Is(err, ErrCorrupt) || len(all) > 0 {
			t.Errorf("%s: %d messages, %v, want ErrCorrupt", c.what, len(all), err)
		}
		closeEngine(t, e)
	}
}

// A damaged segment is told by the read that meets it; the rest can be read.
func TestDamagedSegment(t *testing.T) {
	fs := vfs.NewMem()
	fill(t, fs, testDir, 3)
	e := open(t, fs, testDir, Plain{}, Options{})
	defer closeEngine(t, e)
	f, err := fs.OpenReadWrite(e.segmentPath(2), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 80); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if all, err := readAll(t, e, room(0), 1); !errors.Is(err, segment.ErrCorrupt) || len(all) > 1 {
		t.Errorf("across the damage: %d messages, %v, want segment.ErrCorrupt", len(all), err)
	}
	if all, err := readAll(t, e, room(0), 3); err != nil || len(all) != 1 {
		t.Errorf("behind the damage: %d messages, %v", len(all), err)
	}
}

// The store keeps the number of partitions it was made with.
func TestPartitionsAreFixed(t *testing.T) {
	fs := vfs.NewMem()
	closeEngine(t, open(t, fs, testDir, Plain{}, Options{Partitions: 7}))
	e := open(t, fs, testDir, Plain{}, Options{Partitions: 9})
	if e.Partitions() != 7 {
		t.Errorf("%d partitions, want 7", e.Partitions())
	}
	closeEngine(t, e)
}

// An incarnation lasts from restart to restart, and ends where the folder was
// put back: when Options.Restored says so, or when the file that holds it is not
// the one that was made.
func TestIncarnation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	of := func(fs vfs.FS, dir string, opts Options) parley.Incarnation {
		t.Helper()
		e := open(t, fs, dir, Plain{}, opts)
		defer closeEngine(t, e)
		return e.Incarnation()
	}
	first := of(vfs.Default, dir, Options{})
	if again := of(vfs.Default, dir, Options{}); again != first || first == 0 {
		t.Errorf("after a restart: %x, before %x", again, first)
	}
	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if again := of(vfs.Default, moved, Options{}); again != first {
		t.Errorf("after a move: %x, before %x", again, first)
	}
	restored := of(vfs.Default, moved, Options{Restored: true})
	if restored == first {
		t.Error("restored: the incarnation is the old one")
	}
	if again := of(vfs.Default, moved, Options{}); again != restored {
		t.Errorf("after a restart: %x, before %x", again, restored)
	}
	copied := dir + "-copied"
	copyDir(t, moved, copied)
	told := identify(vfs.Default, filepath.Join(moved, incarnationFile)) != fileIdentity{}
	fresh := of(vfs.Default, copied, Options{})
	if told && fresh == restored {
		t.Error("copied: the incarnation is the old one")
	}
	if again := of(vfs.Default, copied, Options{}); again != fresh {
		t.Errorf("copy after a restart: %x, before %x", again, fresh)
	}
	if again := of(vfs.Default, moved, Options{}); again != restored {
		t.Errorf("original after it was copied: %x, before %x", again, restored)
	}

	fs := vfs.NewMem() // tells nothing of its files
	if a, b, c := of(fs, testDir, Options{}), of(fs, testDir, Options{}), of(fs, testDir, Options{Restored: true}); a != b || b == c {
		t.Errorf("in memory: %x, %x, restored %x", a, b, c)
	}
}

// A damaged file of the incarnation is told, whatever the damage.
func TestIncarnationDamaged(t *testing.T) {
	fs := vfs.NewMem()
	fill(t, fs, testDir, 1)
	path := fs.PathJoin(testDir, incarnationFile)
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil || len(whole) != incarnationSize {
		t.Fatal(len(whole), err)
	}
	put := func(b []byte) {
		t.Helper()
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(slices.Clone(b)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for at := range whole {
		b := slices.Clone(whole)
		b[at] ^= 4
		put(b)
		if at >= 8 && at < 12 {
			continue // a version is told as such, below
		}
		refused(t, fs, testDir, ErrCorrupt, incarnationFile)
	}
	for _, n := range []int{0, 1, incarnationSize - 1} {
		put(whole[:n])
		refused(t, fs, testDir, ErrCorrupt, incarnationFile)
	}
	put(whole)
	closeEngine(t, open(t, fs, testDir, Plain{}, Options{}))
}

// Damage in the middle of the log is refused, by file and offset and with what to
// do. At the very end it is a write that nobody was told was safe: it is cut, and
// the cut is said.
func TestDamagedLog(t *testing.T) {
	mem := vfs.NewCrashableMem()
	e := open(t, mem, testDir, Plain{}, Options{})
	for n := range 5 { // a frame each, of one block
		send(t, e, room(1), 1, parley.Number(n+1), fmt.Sprint(n))
	}
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	closeEngine(t, e)
	log := left.PathJoin(testDir, logDir, "000000000001.wal")
	flip := func(fs vfs.FS, off int64) {
		t.Helper()
		f, err := fs.OpenReadWrite(log, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, off)
		b[0] ^= 1
		_, written := f.WriteAt(b, off)
		if err := errors.Join(err, written, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	const third, fifth = 512 + 2*512, 512 + 4*512
	middle := left.CrashClone(vfs.CrashCloneCfg{})
	flip(middle, third+60)
	for range 2 {
		refused(t, middle, testDir, wal.ErrCorrupt, fmt.Sprintf("000000000001.wal:%d", third),
			"records from 3 on cannot be read", "keep the folder as it is", "parley verify", "backup")
	}
	flip(middle, third+60)
	flip(middle, fifth+60)
	var said strings.Builder
	e = open(t, middle, testDir, Plain{}, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if got := bodies(t, e, room(1)); got != "0 1 2 3" {
		t.Errorf("with its tail cut: %q", got)
	}
	if word := fmt.Sprintf("file=000000000001.wal offset=%d next=5", fifth); !strings.Contains(said.String(), word) {
		t.Errorf("the log said %q, want %q", said.String(), word)
	}
	if r := send(t, e, room(1), 1, 5, "again"); r.Seq != 5 || r.Repeat {
		t.Errorf("the message that was cut, sent again: %+v", r)
	}
	closeEngine(t, e)
}

// A folder put back from an older copy goes on from there under a new
// incarnation, so that clients know that sequences they have seen are given
// again.
func TestRestoredCopy(t *testing.T) {
	dir, backup := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup")
	fill(t, vfs.Default, dir, 2)
	copyDir(t, dir, backup)
	e := open(t, vfs.Default, dir, Plain{}, Options{})
	before := e.Incarnation()
	extend(t, e, 2)
	closeEngine(t, e)
	copyDir(t, backup, dir)
	e = open(t, vfs.Default, dir, Plain{}, Options{})
	told := identify(vfs.Default, filepath.Join(dir, incarnationFile)) != fileIdentity{}
	if told && e.Incarnation() == before {
		t.Error("restored: the incarnation is the old one")
	}
	if r := send(t, e, room(1), born(9, 1), 1, "another"); r.Seq != 3 {
		t.Errorf("sequence %d, want 3: the copy has two", r.Seq)
	}
	closeEngine(t, e)
}
