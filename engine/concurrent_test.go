package engine

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Many write and many read, while heads are closed, written and given back
// below them. Readers see dense sequences and the right bytes at all times.
func TestReadsBesideWrites(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   vfs.FS
		dir  string
		opts Options
		size int // of a body
	}{
		{"small heads", vfs.NewMem(), testDir, Options{HeadSize: 64 << 10}, 400},
		{"larger heads", vfs.NewMem(), testDir, Options{HeadSize: 1 << 20, HeadsMax: 2}, 3000},
		{"heads of few rows", vfs.NewMem(), testDir, Options{HeadSize: 256 << 10, HeadRowsMax: 5, SegmentsOpenMax: 2}, 200},
		{"real disk", vfs.Default, t.TempDir(), Options{HeadSize: 256 << 10, SegmentsOpenMax: 3}, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t, c.fs, c.dir, Plain{}, c.opts)
			defer closeEngine(t, e)
			tr := newTraffic(12, 4, c.size, 8)
			stop := beside(t, e, tr)
			if err := tr.run(e, 1, 150, nil); err != nil {
				t.Error(err)
			}
			stop()
			if err := tr.check(t, e, true); err != nil {
				t.Error(err)
			}
			s := e.Stats()
			if s.Flushes < 3 || s.SegmentsOpen > s.SegmentsOpenMax+3 {
				t.Errorf("stats %+v", s)
			}
			t.Logf("%d commands in %d groups, %d flushes", s.Applied, s.Groups, s.Flushes)
		})
	}
}

// beside reads, looks and closes heads until the function returned is called.
func beside(t *testing.T, e *Engine, tr *traffic) (stop func()) {
	var wg sync.WaitGroup
	quit := make(chan struct{})
	again := func() bool {
		select {
		case <-quit:
			return false
		default:
			return !t.Failed()
		}
	}
	for r := range uint64(3) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(9, r))
			for again() {
				if err := tr.look(t, e, rng); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for again() {
			if err := e.Checkpoint(t.Context()); err != nil {
				t.Error(err)
			}
			e.Stats()
			e.Conversations([16]byte{})
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() {
		close(quit)
		wg.Wait()
	}
}
