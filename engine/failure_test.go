package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// writes reports whether an operation is one of those that may fail below the
// log and the segments. The catalogue's are not among them: Pebble ends the
// process when its own log cannot be written.
func writes(op errorfs.Op) bool {
	return changesDisk(op) && (inFolder(op, logDir) || inFolder(op, segmentsDir))
}

// The Nth write or sync fails, once or from there on. What was acknowledged is
// on the disk, once and in order, also when the power goes right then; an engine
// that has ended takes nothing more, and says why.
func TestFailedWrites(t *testing.T) {
	for n := int64(1); n <= 60; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { failNth(t, n) })
		})
	}
}

func failNth(t *testing.T, nth int64) {
	mem := vfs.NewCrashableMem()
	var count, told atomic.Int64
	var armed atomic.Bool
	disk := hooked(mem, func(op errorfs.Op) error {
		if !armed.Load() || !writes(op) {
			return nil
		}
		if n := count.Add(1); n == nth || n > nth && nth%2 == 0 {
			return syscall.EIO
		}
		return nil
	})
	e := open(t, disk, testDir, Plain{}, Options{
		HeadRowsMax: []int{2, 500_000}[nth%2], Failed: func(error) { told.Add(1) },
	})
	tr := newTraffic(5, 3, 1500, 4)
	armed.Store(true)
	stop := make(chan struct{})
	timer := time.AfterFunc(time.Minute, func() { close(stop) })
	if err := tr.run(e, uint64(nth), 25, stop); err != nil {
		t.Error(err)
	}
	timer.Stop()
	if count.Load() < nth {
		t.Errorf("%d writes and syncs, want %d at least", count.Load(), nth)
	}
	ended := told.Load() > 0
	if ended {
		_, err := e.AppendWait(t.Context(), PlainAppend(e, room(1), 1, 1, nil))
		for what, err := range map[string]error{"append": err, "checkpoint": e.Checkpoint(t.Context())} {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("%s of an engine that has ended: %v", what, err)
			}
		}
	}
	rng := rand.New(rand.NewPCG(uint64(nth), 9))
	for range 20 {
		if err := tr.look(t, e, rng); err != nil {
			t.Errorf("read after the failure: %v", err)
		}
	}
	err := e.Close()
	if ended = told.Load() > 0; ended != (err != nil) || ended && !errors.Is(err, ErrFailed) {
		t.Errorf("close: %v; told %d times of a failure", err, told.Load())
	}
	if told.Load() > 1 {
		t.Errorf("told %d times of a failure", told.Load())
	}

	left := mem
	if nth%3 == 0 {
		left = mem.CrashClone(vfs.CrashCloneCfg{})
	}
	e = open(t, left, testDir, Plain{}, Options{})
	if err := tr.check(t, e, false); err != nil {
		t.Errorf("on the healthy disk: %v", err)
	}
	if err := tr.run(e, uint64(nth), 10, nil); err != nil {
		t.Errorf("on the healthy disk: %v", err)
	}
	if err := tr.check(t, e, false); err != nil {
		t.Errorf("after going on: %v", err)
	}
	closeEngine(t, e)
}

// hold fills so many log files whose flush is held up, and returns what a power
// cut leaves of them.
func unflushed(t *testing.T, files int) (*vfs.MemFS, *traffic) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	g := newGate(mem)
	e := open(t, g, testDir, Plain{}, Options{HeadSize: 64 << 10, HeadsMax: files + 2})
	g.hold()
	tr := newTraffic(4, 2, 3000, 4)
	for len(names(t, g, testDir, logDir)) < files+2 {
		if err := tr.run(e, 1, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	g.release()
	closeEngine(t, e)
	return left, tr
}

// While the catalogue stands still no head is committed, though its segment is
// written: the log keeps the records, and after a power cut everything that was
// acknowledged is there.
func TestLogOutlastsTheCommit(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var hold atomic.Pointer[chan struct{}]
	disk := hooked(mem, func(op errorfs.Op) error {
		if wait := hold.Load(); wait != nil && changesDisk(op) && inFolder(op, catalogueDir) {
			<-*wait
		}
		return nil
	})
	e := open(t, disk, testDir, Plain{}, Options{HeadSize: 64 << 10, HeadsMax: 2})
	wait := make(chan struct{})
	hold.Store(&wait)
	var taken, told atomic.Int64
	for refused := 0; refused < 100; { // in a row: the next log file is not only late
		b := &Batch{
			Commands: []Command{PlainAppend(e, room(1), 1, parley.Number(taken.Load()+1), make([]byte, 8000))},
			Done: func(b *Batch) {
				if b.Err == nil {
					told.Add(1)
				}
			},
		}
		switch err := e.Append(b); {
		case err == nil:
			refused = 0
			taken.Add(1)
		case errors.Is(err, parley.Overloaded):
			refused++
			time.Sleep(time.Millisecond)
		default:
			t.Fatal(err)
		}
	}
	due := told.Load()
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	if s := e.Stats(); s.Flushes > 0 || s.HeadsWaiting < 2 || due == 0 {
		t.Errorf("nothing was tried: %+v, %d acknowledged", s, due)
	}
	hold.Store(nil)
	close(wait)
	closeEngine(t, e)

	e = open(t, left, testDir, Plain{}, Options{})
	if all, err := readAll(t, e, room(1), 1); err != nil || int64(len(all)) < due {
		t.Errorf("%d messages, %v; %d were acknowledged", len(all), err, due)
	}
	closeEngine(t, e)
}

// slowly is a disk on which segments are begun slowly.
func slowly(fs vfs.FS) vfs.FS {
	return hooked(fs, func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && inFolder(op, segmentsDir) {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
}

// Damage in a late log file ends Open while the heads of the files before it are
// being flushed. The flushes are ended in good order, and what they wrote is of
// use to the next Open.
func TestDamagedLogBehindWholeFiles(t *testing.T) {
	left, tr := unflushed(t, 4)
	log := names(t, left, testDir, logDir)
	log = slices.DeleteFunc(log, func(name string) bool { return name == "LOCK" })
	f, err := left.OpenReadWrite(left.PathJoin(testDir, logDir, log[2]), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	flip := func() {
		b := make([]byte, 1)
		_, err := f.ReadAt(b, 600)
		b[0] ^= 1
		if _, written := f.WriteAt(b, 600); err != nil || written != nil {
			t.Fatal(err, written)
		}
	}
	flip()
	for range 2 {
		refused(t, slowly(left), testDir, wal.ErrCorrupt, log[2])
	}
	flip()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	e := open(t, slowly(left), testDir, Plain{}, Options{})
	if err := tr.check(t, e, false); err != nil {
		t.Errorf("mended: %v", err)
	}
	closeEngine(t, e)
}

// A flush that fails during the replay fails the Open.
func TestFailedFlushFailsOpen(t *testing.T) {
	left, tr := unflushed(t, 3)
	refuse := errors.New("no segments today")
	disk := hooked(left, func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && inFolder(op, segmentsDir) {
			return refuse
		}
		return nil
	})
	refused(t, disk, testDir, ErrFailed, refuse.Error())
	e := open(t, left, testDir, Plain{}, Options{})
	if err := tr.check(t, e, false); err != nil {
		t.Error(err)
	}
	closeEngine(t, e)
}
