package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Many goroutines append at once: the records of a batch stand one behind the
// other, no LSN is missing or given twice, every record is committed with its
// own bytes, in order, and those of one goroutine in the order it gave them.
func TestAppendIsDenseAndInOrder(t *testing.T) {
	const writers, batches = 8, 100
	var log *Log
	var committed collected
	fs := vfs.NewMem()
	log = open(t, fs, Options{BatchMax: 4 << 10, Commit: func(g Group) {
		if err := committed.group(g); err != nil {
			t.Error(err)
		}
		log.Trim(g.Last())
	}})
	var mu sync.Mutex
	given := make(map[LSN]string)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			last, n := LSN(0), 0
			for range batches {
				var b []string
				for range 1 + rng.IntN(9) {
					b = append(b, fmt.Sprintf("%d:%d %s", w, n, strings.Repeat("-", rng.IntN(300))))
					n++
				}
				first := appendPatiently(t, log, b)
				if first <= last {
					t.Errorf("record %d was given after %d", first, last)
				}
				last = first + LSN(len(b)) - 1
				mu.Lock()
				for i, r := range b {
					given[first+LSN(i)] = r
				}
				mu.Unlock()
			}
			if err := log.Wait(t.Context(), last); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closeLog(t, log)
	if committed.first != 1 || len(committed.records) != len(given) {
		t.Fatalf("%d records from %d on committed, %d given", len(committed.records), committed.first, len(given))
	}
	for i, r := range committed.records {
		if given[LSN(i+1)] != r {
			t.Fatalf("record %d committed as %.40q, given as %.40q", i+1, r, given[LSN(i+1)])
		}
	}
	if last := LSN(len(given)); log.Durable() != last {
		t.Errorf("durable up to %d, want %d", log.Durable(), last)
	}
}

// appendPatiently appends again while the log is full.
func appendPatiently(t testing.TB, l *Log, bodies []string) (first LSN) {
	for {
		first, err := l.Append(batch(bodies...))
		if err == nil {
			return first
		}
		if !errors.Is(err, ErrFull) {
			t.Error(err)
			return 0
		}
		time.Sleep(100 * time.Microsecond) // all may be durable, and the next file still in the making
	}
}

// A batch above the bound is refused whole, one at the bound is not.
func TestBatchTooLarge(t *testing.T) {
	l := open(t, vfs.NewMem(), Options{})
	most := strings.Repeat("x", l.opts.BatchMax-recordHeaderSize)
	if _, err := l.Append(batch(most + "x")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte too many: %v, want ErrTooLarge", err)
	}
	if _, err := l.Append(batch(most, "")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an empty record too many: %v, want ErrTooLarge", err)
	}
	if last := write(t, l, most); last != 1 {
		t.Errorf("record %d, want 1: a refused batch took a number", last)
	}
}

// A batch of nothing takes no number and waits for what is before it.
func TestEmptyBatch(t *testing.T) {
	l := open(t, vfs.NewMem(), Options{})
	if first, err := l.Append(nil); first != 1 || err != nil {
		t.Errorf("%d, %v; want 1", first, err)
	}
	if last, err := l.AppendWait(t.Context()); last != 0 || err != nil {
		t.Errorf("%d, %v; want 0", last, err)
	}
	if last := write(t, l, "a"); last != 1 {
		t.Errorf("record %d, want 1", last)
	}
	if s := l.Stats(); s.Frames != 1 {
		t.Errorf("%d frames, want 1", s.Frames)
	}
}

// Who stops waiting is told so at once; the record becomes durable all the same.
func TestAppendWaitGivesUpWithItsContext(t *testing.T) {
	fs := vfs.NewMem()
	g := newGate(fs)
	l := open(t, g.fs, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := l.AppendWait(ctx, batch(body(1))...)
		result <- err
	}()
	<-g.waiting
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	close(g.open)
	if err := l.Wait(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if err := l.Wait(ctx, 1); err != nil {
		t.Errorf("%v for a record that is durable already", err)
	}
	closeLog(t, l)
	expect(t, fs, 1, bodies(1, 1))
}

// A second Close returns nil; nothing is taken after the first.
func TestClose(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs, Options{})
	if _, err := l.Append(batch(body(1), body(2))); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	closeLog(t, l)
	if _, err := l.Append(batch("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if _, err := l.AppendWait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("append of nothing: %v, want ErrClosed", err)
	}
	if l.Rotate() {
		t.Error("a closed log rotated")
	}
	if err := l.Wait(t.Context(), 2); err != nil {
		t.Errorf("wait for what Close committed: %v", err)
	}
	if err := l.Wait(t.Context(), 3); !errors.Is(err, ErrClosed) {
		t.Errorf("wait for what was never appended: %v, want ErrClosed", err)
	}
	expect(t, fs, 1, bodies(1, 2))
}

// Close commits what was appended, so who waits for it is told that it is
// durable, and not that the log is closed.
func TestCloseKeepsWaiters(t *testing.T) {
	g := newGate(vfs.NewMem())
	l := open(t, g.fs, Options{})
	var results []chan error
	wait := func() {
		results = append(results, make(chan error, 1))
		go func(result chan error) { result <- l.Wait(t.Context(), 3) }(results[len(results)-1])
	}
	for range 3 { // three frames, the first of them held back
		if _, err := l.Append(batch(strings.Repeat("x", l.opts.BatchMax-recordHeaderSize))); err != nil {
			t.Fatal(err)
		}
	}
	<-g.waiting
	wait()
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	eventually(t, "the log is closing", func() bool {
		_, err := l.Append(batch("late"))
		return errors.Is(err, ErrClosed)
	})
	wait()
	close(g.open)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for _, result := range results {
		if err := <-result; err != nil {
			t.Errorf("wait: %v", err)
		}
	}
}

// When every file holds records that are not trimmed, Append refuses and stores
// nothing. Trim lets it go on in the recycled files, any number of times.
func TestFull(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs, Options{FilesMax: 3})
	large := strings.Repeat("x", l.opts.BatchMax-recordHeaderSize)
	var last LSN
	for round := range 4 {
		refused := false
		for n := 0; !refused; n++ {
			if n == 50_000 {
				t.Fatal("never full")
			}
			first, err := l.Append(batch(large))
			if err == nil {
				if first != last+1 {
					t.Fatalf("record %d after %d", first, last)
				}
				last = first
				continue
			}
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			l.mu.Lock()
			refused = l.next == nil && len(l.free) == 0 && l.files() == 3
			l.mu.Unlock()
			time.Sleep(100 * time.Microsecond) // the next file may be in the making
		}
		if s := l.Stats(); s.Refused <= uint64(round) || s.Files != 3 || s.FilesMax != 3 {
			t.Fatalf("%+v", s)
		}
		if err := l.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		l.Trim(last)
		awaitFile(t, l)
	}
	closeLog(t, l)
	if files := readFolder(t, fs); len(files) != 3 {
		t.Errorf("%d files, want 3: %v", len(files), files.names())
	}
}

// With Retain a group stays readable until Trim passes its file, whatever is
// written and committed meanwhile; after Close, until Release.
func TestRetain(t *testing.T) {
	var kept []Group
	l := open(t, vfs.NewMem(), Options{FilesMax: 8, Retain: true, Commit: func(g Group) { kept = append(kept, g) }})
	var last LSN
	for range 4 {
		for range 5 {
			last = write(t, l, body(last+1), body(last+2))
		}
		rotate(t, l)
	}
	readable := func(groups []Group) {
		t.Helper()
		for _, g := range groups {
			for lsn, r := range g.Records() {
				if string(r) != body(lsn) {
					t.Fatalf("record %d now reads %.40q", lsn, r)
				}
			}
		}
	}
	readable(kept)
	l.Trim(kept[4].Last())
	awaitFile(t, l)
	for range 5 {
		last = write(t, l, body(last+1), body(last+2))
	}
	rotate(t, l)
	readable(kept[5:])
	closeLog(t, l)
	readable(kept[5:])
	l.Release()
	if l.full[0].buffer != nil {
		t.Error("Release left a buffer")
	}
}

// Rotate ends a file that holds something and leaves one that does not.
func TestRotate(t *testing.T) {
	fs := vfs.NewMem()
	var files []uint64
	l := open(t, fs, Options{Commit: func(g Group) { files = append(files, g.File) }})
	awaitFile(t, l)
	if l.Rotate() {
		t.Error("an empty file was ended")
	}
	write(t, l, body(1))
	rotate(t, l)
	if l.Rotate() {
		t.Error("an empty file was ended")
	}
	write(t, l, body(2))
	write(t, l, body(3))
	if _, err := l.Append(batch(body(4))); err != nil {
		t.Fatal(err)
	}
	rotate(t, l) // with a frame that may not have been written yet
	write(t, l, body(5))
	closeLog(t, l)
	if want := []uint64{1, 2, 2, 2, 3}; fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("frames went to files %v, want %v", files, want)
	}
	expect(t, fs, 1, bodies(1, 5))
}

// On the real disk, with O_DIRECT where it is to be had and through the page
// cache: a second Open of the folder is refused with a word why, and what was
// written is read by the next.
func TestRealDisk(t *testing.T) {
	for name, buffered := range map[string]bool{"direct": false, "buffered": true} {
		t.Run(name, func(t *testing.T) {
			dir := vfs.Default.PathJoin(t.TempDir(), "data", "wal")
			opts := small(Options{Buffered: buffered, FilesMax: 20})
			var last LSN
			for range 3 {
				var got collected
				opts.Replay = got.group
				l, err := Open(vfs.Default, dir, opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := got.differ(1, bodies(1, last)); err != nil {
					t.Error(err)
				}
				_, err = Open(vfs.Default, dir, opts)
				if err == nil || !strings.Contains(err.Error(), "is another process using it?") || !strings.Contains(err.Error(), dir) {
					t.Errorf("second Open: %v, want a word that %s is in use", err, dir)
				}
				for range 5 {
					last = write(t, l, body(last+1), body(last+2))
				}
				rotate(t, l)
				last = write(t, l, bodies(last+1, last+60)...)
				closeLog(t, l)
			}
		})
	}
}

// A log that lives long appends without allocating.
func TestAppendDoesNotAllocate(t *testing.T) {
	const count = 64
	opts := small(Options{})
	l, err := Open(vfs.NewMem(), testDir, Options{FileSize: 16 << 20, Logger: opts.Logger})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	b := batch(strings.Split(strings.Repeat(strings.Repeat("x", 200)+" ", count-1)+"x", " ")...)
	awaitFile(t, l)
	perBatch := testing.AllocsPerRun(200, func() {
		if _, err := l.Append(b); err != nil {
			t.Error(err)
		}
	})
	if !raceEnabled && perBatch > 0 {
		t.Errorf("%v allocations for a batch of %d records, want 0", perBatch, len(b))
	}
}

// Stats count what was committed, in whole blocks, and the files there are.
func TestStats(t *testing.T) {
	l := open(t, vfs.NewMem(), Options{FilesMax: 5})
	awaitFile(t, l)
	if s, want := l.Stats(), (Stats{Files: 2, FilesMax: 5}); s != want {
		t.Errorf("new: %+v, want %+v", s, want)
	}
	write(t, l, "a", "b")
	write(t, l, strings.Repeat("x", 2*blockSize))
	rotate(t, l)
	if s, want := l.Stats(), (Stats{Frames: 2, Records: 3, Bytes: 4 * blockSize, Files: 3, FilesMax: 5}); s != want {
		t.Errorf("after two frames: %+v, want %+v", s, want)
	}
}
