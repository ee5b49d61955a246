package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/parleychat/parley"
)

// gate is a disk whose segments can be held up.
type gate struct {
	vfs.FS
	mu   sync.Mutex
	open chan struct{} // nil while nothing is held
}

func newGate(fs vfs.FS) *gate {
	g := &gate{}
	g.FS = hooked(fs, func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && inFolder(op, segmentsDir) {
			g.mu.Lock()
			open := g.open
			g.mu.Unlock()
			if open != nil {
				<-open
			}
		}
		return nil
	})
	return g
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
	g.open = nil
}

// Close finishes what was taken: every batch is done, everything is flushed, and
// the next Open has nothing to replay.
func TestCloseFinishes(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, fs, testDir, Plain{}, Options{HeadSize: 1 << 20})
	var done atomic.Int64
	const batches = 50
	for n := range batches {
		b := &Batch{
			Commands: []Command{PlainAppend(e, room(1), 1, parley.Number(n+1), nil)},
			Done: func(b *Batch) {
				if b.Err == nil && b.Results[0].Seq == parley.Seq(n+1) {
					done.Add(1)
				}
			},
		}
		if err := e.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	closeEngine(t, e)
	if n := done.Load(); n != batches {
		t.Errorf("%d batches were done, want %d", n, batches)
	}
	m := &notes{}
	e = open(t, fs, testDir, m, Options{})
	if all, err := readAll(t, e, room(1), 1); err != nil || len(all) != batches {
		t.Errorf("%d messages, %v, want %d", len(all), err, batches)
	}
	if m.replayed > 0 {
		t.Errorf("%d commands were replayed", m.replayed)
	}
	closeEngine(t, e)
}

func TestUseAfterClose(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	send(t, e, room(1), 1, 1, "x")
	closeEngine(t, e)
	if err := e.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := e.Append(&Batch{Commands: []Command{PlainAppend(e, room(1), 1, 2, nil)}}); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if err := e.Checkpoint(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("checkpoint: %v, want ErrClosed", err)
	}
	if _, err := readAll(t, e, room(1), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("read: %v, want ErrClosed", err)
	}
}

// openFiles counts the files that were opened for reading and are not closed.
type openFiles struct {
	vfs.FS
	n atomic.Int64
}

func (fs *openFiles) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	fs.n.Add(1)
	return &openFile{f, fs}, nil
}

type openFile struct {
	vfs.File
	fs *openFiles
}

func (f *openFile) Close() error {
	f.fs.n.Add(-1)
	return f.File.Close()
}

// Whoever reads while the engine is closed gets right messages, and then
// ErrClosed. No file stays open behind him.
func TestReadAcrossClose(t *testing.T) {
	fs := &openFiles{FS: vfs.NewMem()}
	fill(t, fs, testDir, 4)
	e := open(t, fs, testDir, Plain{}, Options{})
	next := parley.Seq(1)
	var last error
	for m, err := range e.Read(t.Context(), e.Partition(0, room(0)), room(0), parley.SeqRange{From: 1, To: 9}) {
		if err != nil {
			last = err
			break
		}
		if m.Seq != next {
			t.Errorf("sequence %d where %d was due", m.Seq, next)
		}
		if next++; next == 2 {
			closeEngine(t, e)
		}
	}
	if !errors.Is(last, ErrClosed) {
		t.Errorf("the read ended with %v after %d messages, want ErrClosed", last, next-1)
	}
	if n := fs.n.Load(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// Checkpoint waits for all that is closed, also for a head that another closed
// before and that still waits for its flush.
func TestCheckpointWaitsForEarlierHeads(t *testing.T) {
	g := newGate(vfs.NewMem())
	e := open(t, g, testDir, Plain{}, Options{HeadRowsMax: 1})
	defer closeEngine(t, e)
	g.hold()
	send(t, e, room(1), 1, 1, "x") // its head is closed at once
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Checkpoint(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("checkpoint while the flush is held: %v, want a timeout", err)
	}
	g.release()
	if err := e.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if s := e.Stats(); s.Flushes != 1 {
		t.Errorf("%d flushes, want 1", s.Flushes)
	}
	if err := e.Checkpoint(t.Context()); err != nil { // nothing is left to do
		t.Error(err)
	}
}

// Many may close, check and append at once: nobody hangs.
func TestCloseUnderLoad(t *testing.T) {
	for range 20 {
		fs := vfs.NewMem()
		e := open(t, fs, testDir, Plain{}, Options{HeadRowsMax: 3})
		tr := newTraffic(4, 3, 100, 4)
		var others sync.WaitGroup
		var traffic error
		others.Go(func() { traffic = tr.run(e, 1, 1000, nil) })
		for range 2 {
			others.Go(func() {
				for e.Checkpoint(t.Context()) == nil {
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		for range 2 {
			others.Go(func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		others.Wait()
		if traffic != nil {
			t.Fatal(traffic)
		}
		for {
			again, err := Open(fs, testDir, Plain{}, testOptions(Options{}))
			if errors.Is(err, ErrLocked) { // the second Close does not wait for the first
				time.Sleep(time.Millisecond)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := tr.check(t, again, true); err != nil {
				t.Error(err)
			}
			closeEngine(t, again)
			break
		}
	}
}
