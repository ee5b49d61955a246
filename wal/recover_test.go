package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// threeFiles is a log closed in good order: three files of three frames each,
// and where they stand.
func threeFiles(t *testing.T) (folder, []place) {
	t.Helper()
	fs := vfs.NewMem()
	var got collected
	l := open(t, fs, Options{Commit: func(g Group) {
		if err := got.group(g); err != nil {
			t.Error(err)
		}
	}})
	last := LSN(0)
	for file := range 3 {
		for range 3 {
			last = write(t, l, bodies(last+1, last+4)...)
		}
		if file < 2 {
			rotate(t, l)
		}
	}
	closeLog(t, l)
	return readFolder(t, fs), got.groups
}

// refused opens a folder that must not be opened, and finds it as it was.
func refused(t *testing.T, f folder, opts Options, want error) error {
	t.Helper()
	fs := f.disk(t)
	l, err := Open(fs, testDir, small(opts))
	if err == nil {
		closeLog(t, l)
	}
	if !errors.Is(err, want) {
		t.Fatalf("open: %v, want %v", err, want)
	}
	if !readFolder(t, fs).equal(f) {
		t.Fatal("a refused Open changed the folder")
	}
	return err
}

// Damage to any frame of a log that was closed in good order is told by file,
// offset and record, with what to do, and nothing is touched.
func TestDamagedFrame(t *testing.T) {
	whole, frames := threeFiles(t)
	for i, f := range frames {
		damaged, name := whole.clone(), fileName(f.file)
		damaged[name][f.offset+recordHeaderSize+3] ^= 0x10
		err := refused(t, damaged, Options{}, ErrCorrupt)
		var at *CorruptError
		if !errors.As(err, &at) || at.File != name || at.Offset != int64(f.offset-frameHeaderSize) || at.Next != f.first {
			t.Errorf("frame %d at %+v: %v", i, f, err)
		}
		for _, word := range []string{"keep the folder", "parley verify", "backup"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v: want the word %q", err, word)
			}
		}
	}
}

// A whole file that is gone is told by the records that are missing.
func TestMissingFile(t *testing.T) {
	whole, frames := threeFiles(t)
	for _, number := range []uint64{1, 2} {
		less := whole.clone()
		delete(less, fileName(number))
		err := refused(t, less, Options{}, ErrCorrupt)
		if word := fmt.Sprint(frames[3*(number-1)].first); !strings.Contains(err.Error(), word) {
			t.Errorf("file %d: %v, want record %s named", number, err, word)
		}
	}
	less := whole.clone()
	delete(less, fileName(1)) // trimmed: nobody needs it
	l, err := Open(less.disk(t), testDir, small(Options{From: frames[3].first}))
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
}

// A log that ends before the record that is needed was lost, or replaced by an
// older copy.
func TestShort(t *testing.T) {
	whole, frames := threeFiles(t)
	next := frames[8].first + LSN(frames[8].count)
	err := refused(t, whole, Options{From: next + 1}, ErrShort)
	if !strings.Contains(err.Error(), "older copy") {
		t.Errorf("%v: want a clear word", err)
	}
	refused(t, folder{}, Options{From: 2}, ErrShort)
	l, err := Open(whole.disk(t), testDir, small(Options{From: next}))
	if err != nil {
		t.Fatalf("with all that is needed: %v", err)
	}
	closeLog(t, l)
}

// An error of Replay ends Open, which has changed nothing.
func TestReplayRefuses(t *testing.T) {
	whole, _ := threeFiles(t)
	no := errors.New("no")
	refused(t, whole, Options{Replay: func(Group) error { return no }}, no)
}

// The file of the newest record stays, however far the log is trimmed: it tells
// where the log ends.
func TestTrimKeepsTheEnd(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs, Options{})
	last := LSN(0)
	for range 6 {
		last = write(t, l, bodies(last+1, last+9)...)
		rotate(t, l)
		l.Trim(last)
	}
	l.Trim(1 << 60)
	closeLog(t, l)
	for range 3 { // and stays through restarts without a record
		l = open(t, fs, Options{From: last + 1})
		if next, err := l.Append(nil); next != last+1 || err != nil {
			t.Errorf("goes on at %d, %v, want %d", next, err, last+1)
		}
		closeLog(t, l)
	}
}

// The Nth write or sync fails, of a header or of a frame. If it was a frame's,
// nothing is committed from there on, nothing more is written, Failed is called
// once, and all who wait are told.
func TestFailedWrite(t *testing.T) {
	for nth := int64(1); nth <= 40; nth++ {
		var ops, frames, told atomic.Int64
		var hit atomic.Bool
		mem := vfs.NewMem()
		fs := hooked(mem, func(op errorfs.Op) error {
			if hit.Load() && writesFrame(op) {
				frames.Add(1)
			}
			if changesDisk(op) && ops.Add(1) == nth {
				hit.Store(writesFrame(op) || op.Kind == errorfs.OpFileSyncData)
				return syscall.EIO
			}
			return nil
		})
		var got collected
		l, err := Open(fs, testDir, small(Options{
			Commit: func(g Group) { _ = got.group(g) }, Failed: func(error) { told.Add(1) },
		}))
		if err != nil {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("write %d: open: %v", nth, err)
			}
			continue
		}
		last := LSN(0)
		for err == nil && last < 200 {
			var end LSN
			if end, err = l.AppendWait(t.Context(), batch(bodies(last+1, last+5)...)...); err == nil {
				last = end
			}
			if last%50 == 0 {
				l.Rotate()
			}
		}
		failed := errors.Is(err, ErrFailed)
		if err != nil && (!failed || !errors.Is(err, syscall.EIO)) {
			t.Errorf("write %d: %v", nth, err)
		}
		if _, err := l.Append(batch("more")); failed && !errors.Is(err, ErrFailed) {
			t.Errorf("write %d: a failed log took more: %v", nth, err)
		}
		if err := l.Close(); (err != nil) != failed {
			t.Errorf("write %d: close: %v, failed %v", nth, err, failed)
		}
		if failed && (told.Load() != 1 || frames.Load() > 0 || len(got.records) != int(last)) {
			t.Errorf("write %d: told %d times; %d frames written and %d records committed behind it", nth, told.Load(), frames.Load(), len(got.records)-int(last))
		}
		var left collected
		if _, _, err := Scan(mem, testDir, 1, left.group); err != nil || len(left.records) < int(last) {
			t.Errorf("write %d: %d records left of %d, %v", nth, len(left.records), last, err)
		}
	}
}

// The newest frame found is written once more, before anything that follows from
// it is told: it may be one whose sync failed, which the kernel then holds for
// clean.
func TestNewestFrameIsWrittenAgain(t *testing.T) {
	whole, frames := threeFiles(t)
	newest := frames[8]
	j := &journal{FS: whole.disk(t)}
	l := open(t, j, Options{})
	w := j.writes[0]
	h, ok := parseFrame(w.bytes, epochOf(t, whole[w.file]))
	if !ok || w.file != fileName(newest.file) || w.off != newest.offset-frameHeaderSize || h.first != newest.first {
		t.Errorf("%d bytes written at %s:%d, want the frame at %+v", len(w.bytes), w.file, w.off, newest)
	}
	closeLog(t, l)
	expect(t, j, 1, bodies(1, newest.first+LSN(newest.count)-1))
}

// A disk on which no further file can be begun makes the log full, and neither
// leaves files behind nor loses those that it has. Once it is healthy the log
// goes on.
func TestNoFurtherFile(t *testing.T) {
	for _, c := range []struct {
		broken  errorfs.OpKind
		recycle bool
	}{
		{errorfs.OpCreate, false}, {errorfs.OpFileWrite, false}, {errorfs.OpFileSync, false}, {errorfs.OpFileWriteAt, false},
		{errorfs.OpRename, true}, {errorfs.OpFileWriteAt, true}, {errorfs.OpOpenDir, true},
	} {
		synctest.Test(t, func(t *testing.T) { noFurtherFile(t, c.broken, c.recycle) })
	}
}

func noFurtherFile(t *testing.T, broken errorfs.OpKind, recycle bool) {
	const filesMax = 4
	var sick atomic.Bool
	var tries atomic.Int64
	mem := vfs.NewMem()
	l := open(t, hooked(mem, func(op errorfs.Op) error {
		if sick.Load() && op.Kind == broken && !writesFrame(op) {
			tries.Add(1)
			return syscall.ENOSPC
		}
		return nil
	}), Options{FilesMax: filesMax})
	last := LSN(0)
	for range 3 {
		if recycle {
			last = write(t, l, bodies(last+1, last+9)...)
			rotate(t, l)
			l.Trim(last)
		}
	}
	awaitFile(t, l)
	sick.Store(true)
	last = write(t, l, bodies(last+1, last+9)...)
	if !l.Rotate() {
		t.Fatal("the log did not rotate")
	}
	last = write(t, l, bodies(last+1, last+9)...)
	if recycle {
		l.Trim(last)
	}
	time.Sleep(5 * time.Second)
	synctest.Wait() // a try that is due in the same moment makes a file and takes it away
	if files := readFolder(t, mem); len(files) > filesMax || tries.Load() < 3 {
		t.Errorf("%v fails, %d times: %d files, at most %d", broken, tries.Load(), len(files), filesMax)
	}
	if l.Rotate() {
		t.Errorf("%v fails: a file came from somewhere", broken)
	}
	sick.Store(false)
	time.Sleep(2 * time.Second)
	if !l.Rotate() {
		t.Errorf("%v worked again, and there is no file", broken)
	}
	last = write(t, l, bodies(last+1, last+9)...)
	closeLog(t, l)
	expect(t, mem, last-8, bodies(last-8, last))
}

// TestPowerCut cuts the power at a random operation, keeps 0 to 90 % of what was
// not synced, and opens what is left under other options, several times over.
// What was committed and not trimmed is there, in order, and the log goes on
// behind it. PARLEY_SEED runs one seed, PARLEY_SEEDS that many.
func TestPowerCut(t *testing.T) {
	first, last := uint64(1), setting(t, "PARLEY_SEEDS", 150)
	if one := setting(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	committed, cuts := LSN(0), 0
	for seed := first; seed <= last && !t.Failed(); seed++ {
		r := cutRun{rng: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewCrashableMem()}
		for range 1 + r.rng.IntN(4) {
			if err := r.life(t); err != nil {
				t.Errorf("seed %d, power cut %d: %v", seed, cuts, err)
				break
			}
			cuts++
		}
		committed += r.committed
	}
	t.Logf("%d power cuts, %d records committed", cuts, committed)
	if first < last && committed == 0 {
		t.Error("nothing was committed")
	}
}

// cutRun is the life of one log, from cut to cut.
type cutRun struct {
	rng *rand.Rand
	fs  *vfs.MemFS

	mu                 sync.Mutex // guards below
	committed, trimmed LSN
	off                bool
	left               *vfs.MemFS
}

// life opens what is left and works on it until the power goes.
func (r *cutRun) life(t *testing.T) error {
	keep := vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(91), RNG: rand.New(rand.NewPCG(r.rng.Uint64(), 2))}
	r.off = false
	cut := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.off {
			r.off, r.left = true, r.fs.CrashClone(keep)
		}
	}
	at := int64(1 + r.rng.IntN(400))
	var ops atomic.Int64
	disk := hooked(r.fs, func(op errorfs.Op) error {
		if changesDisk(op) && ops.Add(1) == at {
			cut()
		}
		return nil
	})
	var got collected
	from := r.trimmed + 1
	opts := small(Options{
		BatchMax: []int{700, 1500, 4000}[r.rng.IntN(3)], FilesMax: 3 + r.rng.IntN(3), From: from,
		Replay: got.group, Commit: r.commit,
	})
	l, err := Open(disk, testDir, opts)
	if err != nil {
		return err
	}
	last := from + LSN(len(got.records)) - 1
	if err := got.differ(from, bodies(from, last)); err != nil {
		return errors.Join(err, l.Close())
	}
	if last < r.committed {
		return errors.Join(fmt.Errorf("records up to %d were committed, %d are left", r.committed, last), l.Close())
	}
	r.work(t, l, last)
	cut()
	err = l.Close()
	r.fs = r.left
	return err
}

// commit is what is told; once the power is off nobody hears it.
func (r *cutRun) commit(g Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.off {
		r.committed = g.Last()
	}
}

func (r *cutRun) isOff() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.off
}

// work appends in bursts, rotates and trims.
func (r *cutRun) work(t *testing.T, l *Log, last LSN) {
	for steps := 0; steps < 100 && !r.isOff(); steps++ {
		for range 1 + r.rng.IntN(4) {
			n := LSN(1 + r.rng.IntN(2))
			switch _, err := l.Append(batch(bodies(last+1, last+n)...)); {
			case err == nil:
				last += n
			case !errors.Is(err, ErrFull):
				t.Error(err)
			}
		}
		switch r.rng.IntN(6) {
		case 0:
			l.Rotate()
		case 1:
			r.trim(l)
		case 2, 3:
			if err := l.Wait(t.Context(), last); err != nil {
				t.Error(err)
			}
		}
	}
}

// trim gives back most of what is committed.
func (r *cutRun) trim(l *Log) {
	r.mu.Lock()
	if n := r.committed - min(r.committed, LSN(r.rng.IntN(20))); n > r.trimmed && !r.off {
		r.trimmed = n
	}
	trimmed := r.trimmed
	r.mu.Unlock()
	l.Trim(trimmed)
}
