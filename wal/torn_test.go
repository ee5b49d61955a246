package wal

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// journal is a file system that notes what is written at an offset, and can
// hold it back.
type journal struct {
	vfs.FS
	mu      sync.Mutex // guards below
	writes  []written
	holding chan struct{}
	held    chan struct{} // receives one value when the first write is held
}

type written struct {
	file  string
	off   int
	bytes []byte
}

func (j *journal) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := j.FS.OpenReadWrite(name, c, opts...)
	return &journalFile{f, j, j.PathBase(name)}, err
}

// hold keeps writes back until the function it returns is called.
func (j *journal) hold() (release func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holding, j.held = make(chan struct{}), make(chan struct{}, 1)
	return func() { close(j.holding) }
}

// forget begins a new journal.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = nil
}

type journalFile struct {
	vfs.File
	j    *journal
	name string
}

func (f *journalFile) WriteAt(b []byte, off int64) (int, error) {
	f.j.mu.Lock()
	f.j.writes = append(f.j.writes, written{f.name, int(off), append([]byte(nil), b...)})
	holding, held := f.j.holding, f.j.held
	f.j.mu.Unlock()
	if holding != nil {
		select {
		case held <- struct{}{}:
		default:
		}
		<-holding
	}
	return f.File.WriteAt(b, off)
}

// manyFrames appends so much behind one write that several frames are complete
// before the next is written, and returns the folder as it was before, and the
// writes.
func manyFrames(t *testing.T, l *Log, j *journal, from LSN) (before folder, writes []written) {
	t.Helper()
	before = readFolder(t, j)
	j.forget()
	release := j.hold()
	next := from
	for range 20 {
		n := LSN(1 + next%5)
		if _, err := l.Append(batch(bodies(next, next+n-1)...)); err != nil {
			t.Fatal(err)
		}
		if next == from {
			<-j.held
		}
		next += n
	}
	release()
	if err := l.Wait(t.Context(), next-1); err != nil {
		t.Fatal(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return before, j.writes
}

// When the power goes during a write any of its sectors may be on the disk, and
// the others are as they were: zero, or of a former use of the file. Whatever is
// there, Open takes every frame before it and nothing of a torn one, says where
// it cut, and the log goes on. It is never corruption, for nobody was told that
// it was safe.
func TestTornWrite(t *testing.T) {
	for name, rounds := range map[string]int{"fresh": 0, "recycled": 4} {
		t.Run(name, func(t *testing.T) {
			j := &journal{FS: vfs.NewMem()}
			l := open(t, j, Options{BatchMax: 1500, FilesMax: 4})
			awaitFile(t, l)
			last := LSN(0)
			for range rounds { // leave frames in every file
				for range 20 {
					n := 1 + last%5
					last = write(t, l, bodies(last+1, last+n)...)
				}
				rotate(t, l)
				l.Trim(last)
				awaitFile(t, l)
			}
			if rounds > 0 {
				last = write(t, l, body(last+1)) // the file before may be gone
				l.Trim(last)
			}
			image, writes := manyFrames(t, l, j, last+1)
			if len(writes) < 5 {
				t.Fatalf("%d writes: nothing was tried", len(writes))
			}
			rng := rand.New(rand.NewPCG(1, 1))
			for _, w := range writes {
				for range 30 {
					tearWrite(t, image, w, rng, last+1)
				}
				copy(image[w.file][w.off:], w.bytes)
			}
		})
	}
}

// tearWrite puts some sectors of a write into a copy of the folder, and opens
// that.
func tearWrite(t *testing.T, image folder, w written, rng *rand.Rand, from LSN) {
	t.Helper()
	torn, kept := image.clone(), ""
	share := rng.IntN(101)
	whole := true
	for off := 0; off < len(w.bytes); off += blockSize {
		if rng.IntN(100) < share {
			copy(torn[w.file][w.off+off:], w.bytes[off:off+blockSize])
			kept += "x"
		} else {
			kept += "-"
			whole = false
		}
	}
	h, ok := parseFrame(w.bytes, epochOf(t, image[w.file]))
	if !ok {
		t.Fatal("what was written is no frame")
	}
	due := h.first - 1
	if whole {
		due += LSN(h.count)
	}
	var said strings.Builder
	fs := torn.disk(t)
	l, got := reopen(t, fs, from, &said)
	if err := got.differ(from, bodies(from, due)); err != nil {
		t.Fatalf("sectors %s of the frame of record %d: %v", kept, h.first, err)
	}
	word := fmt.Sprintf("file=%s offset=%d next=%d", w.file, w.off, h.first)
	if cut := kept[0] == 'x' && !whole; cut != strings.Contains(said.String(), word) {
		t.Fatalf("sectors %s: the log said %q, want %q: %v", kept, said.String(), word, cut)
	}
	last := write(t, l, bodies(due+1, due+7)...)
	closeLog(t, l)
	said.Reset()
	l, got = reopen(t, fs, from, &said)
	if err := got.differ(from, bodies(from, last)); err != nil || said.Len() > 0 {
		t.Fatalf("after going on: %v; said %q", err, said.String())
	}
	closeLog(t, l)
}

func epochOf(t *testing.T, file []byte) uint64 {
	t.Helper()
	h, _, ok := parseFileHeader(file)
	if !ok {
		t.Fatal("no header")
	}
	return h.epoch
}

// reopen opens a log whose first needed record is given, and says what it
// replayed and what it told people.
func reopen(t *testing.T, fs vfs.FS, from LSN, said *strings.Builder) (*Log, *collected) {
	t.Helper()
	got := &collected{}
	opts := small(Options{From: from, Replay: got.group})
	opts.Logger = slog.New(slog.NewTextHandler(said, nil))
	l, err := Open(fs, testDir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l, got
}
