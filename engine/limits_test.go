package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/parleychat/parley"
)

// When flushes stand still Append refuses, and readers read on. Once flushes go
// on so do sends, and what was taken meanwhile is done.
func TestHeadsMax(t *testing.T) {
	g := newGate(vfs.NewMem())
	e := open(t, g, testDir, Plain{}, Options{HeadSize: 64 << 10, HeadsMax: 3})
	defer closeEngine(t, e)
	tr := newTraffic(4, 2, 2000, 4)
	if err := tr.run(e, 1, 10, nil); err != nil {
		t.Fatal(err)
	}
	g.hold()
	var taken, done atomic.Int64
	big := func() error {
		n := parley.Number(taken.Load() + 1)
		return e.Append(&Batch{
			Commands: []Command{PlainAppend(e, room(9), 1, n, make([]byte, 10_000))},
			Done: func(b *Batch) {
				if b.Err == nil && b.Results[0].Seq == parley.Seq(n) {
					done.Add(1)
				}
			},
		})
	}
	for refused := 0; refused < 100; { // in a row: the next log file is not only late
		switch err := big(); {
		case err == nil:
			refused = 0
			taken.Add(1)
		case err == parley.Overloaded:
			refused++
			time.Sleep(time.Millisecond)
		default:
			t.Fatal(err)
		}
	}
	s := e.Stats()
	if s.HeadsWaiting == 0 || s.HeadsWaiting > s.HeadsMax || s.RefusedFull < 100 {
		t.Errorf("held up: %+v", s)
	}
	if logs := len(names(t, g, testDir, logDir)) - 1; logs > s.HeadsMax+2 { // without the lock
		t.Errorf("%d log files, want at most %d", logs, s.HeadsMax+2)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		if err := tr.look(t, e, rng); err != nil {
			t.Fatal(err)
		}
	}
	g.release()
	for done.Load() < taken.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := tr.run(e, 2, 30, nil); err != nil {
		t.Error(err)
	}
	if err := tr.check(t, e, true); err != nil {
		t.Error(err)
	}
	if all, err := readAll(t, e, room(9), 1); err != nil || int64(len(all)) != taken.Load() {
		t.Errorf("%d messages, %v, want %d", len(all), err, taken.Load())
	}
}

// Below the reserve sends are refused, reading goes on, and with room sends go
// on within two seconds. A disk that once does not answer changes nothing.
func TestReserveBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 2 << 20, TotalBytes: 1 << 30})
		var silent atomic.Bool
		fs := hooked(mem, func(op errorfs.Op) error {
			if op.Kind == errorfs.OpGetDiskUsage && silent.Load() {
				return errorfs.ErrInjected
			}
			return nil
		})
		e := open(t, fs, testDir, Plain{}, Options{ReserveBytes: 1 << 20})
		if r := send(t, e, room(1), 1, 1, "before"); r.Seq != 1 {
			t.Errorf("with room: %+v", r)
		}
		refused := func() error {
			_, err := e.AppendWait(t.Context(), PlainAppend(e, room(1), 1, 2, []byte("after")))
			return err
		}
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1<<20 - 1, TotalBytes: 1 << 30})
		time.Sleep(2 * time.Second)
		for range 2 {
			if err := refused(); !errors.Is(err, parley.DiskFull) {
				t.Errorf("without room: %v, want parley.DiskFull", err)
			}
			if got := bodies(t, e, room(1)); got != "before" {
				t.Errorf("without room: %q", got)
			}
			if s := e.Stats(); !s.DiskLow || s.RefusedDisk == 0 {
				t.Errorf("without room: %+v", s)
			}
			silent.Store(true)
			time.Sleep(2 * time.Second)
		}
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30})
		silent.Store(false)
		time.Sleep(2 * time.Second)
		if err := refused(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if got := bodies(t, e, room(1)); got != "before after" {
			t.Errorf("with room again: %q", got)
		}
		closeEngine(t, e)
	})
}

// Past RowsMax only those are refused who say that they make rows.
func TestRowsMax(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{RowsMax: 3})
	defer closeEngine(t, e)
	grow := func(c int) error {
		done := make(chan struct{})
		b := &Batch{
			Commands: []Command{PlainAppend(e, room(c), 1, 1, nil)},
			Done:     func(*Batch) { close(done) }, Grows: true,
		}
		if err := e.Append(b); err != nil {
			return err
		}
		<-done
		return b.Err
	}
	for c := range 3 {
		if err := grow(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := grow(3); !errors.Is(err, parley.Overloaded) {
		t.Errorf("a fourth row: %v, want parley.Overloaded", err)
	}
	if r := send(t, e, room(0), 1, 2, "x"); r.Seq != 2 {
		t.Errorf("a send to a row that is there: %+v", r)
	}
	if s := e.Stats(); s.Rows != 3 || s.RowsMax != 3 || s.RefusedRows != 1 {
		t.Errorf("stats %+v", s)
	}
}

// Rows that were removed are counted until their removal is flushed, and no
// longer.
func TestRemovedRowsAreGivenBack(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, &notes{}, Options{Partitions: 1})
	defer closeEngine(t, e)
	apply := func(cmds ...Command) {
		t.Helper()
		if _, err := e.AppendWait(t.Context(), cmds...); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(rows int64) {
		t.Helper()
		if err := e.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := e.Stats(); s.Rows != rows {
			t.Errorf("%d rows, want %d", s.Rows, rows)
		}
	}
	apply(note(0, 1, false), note(0, 2, false), note(0, 3, false))
	flush(3)
	apply(note(0, 1, true), note(0, 2, true), note(0, 2, false), note(0, 4, false), note(0, 4, true))
	flush(2)
	apply(note(0, 1, false), note(0, 3, true))
	flush(2)
}

// An AppendWait whose context ends leaves its commands to be applied.
func TestAppendWaitGivesUp(t *testing.T) {
	fs := vfs.NewMem()
	held := make(chan struct{})
	disk := hooked(fs, func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && inFolder(op, logDir) && op.Offset == 512 {
			<-held
		}
		return nil
	})
	e := open(t, disk, testDir, Plain{}, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.AppendWait(ctx, PlainAppend(e, room(1), 1, 1, []byte("late"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append: %v, want a timeout", err)
	}
	close(held)
	if r := send(t, e, room(1), 1, 1, "late"); r.Seq != 1 || !r.Repeat {
		t.Errorf("again: %+v, want a repeat", r)
	}
	closeEngine(t, e)
}
