package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// setting reads a number from the environment.
func setting(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}

// TestCrash cuts the power while writers write and heads are flushed, keeps 0 to
// 90 % of what was not synced, and opens what is left under other options. What
// was acknowledged is there, once and in order, and the state is the one that
// the same commands give a new store: so every row was written as of the closing
// of its head, though it changed again before it was written.
//
// PARLEY_SEED runs one seed, PARLEY_SEEDS that many.
func TestCrash(t *testing.T) {
	first, last := uint64(1), setting(t, "PARLEY_SEEDS", 100)
	if one := setting(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	var cuts, flushes, replayed atomic.Uint64
	var seeds sync.WaitGroup
	next := make(chan uint64)
	for range 2 {
		seeds.Go(func() {
			for seed := range next {
				r := crashRun{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
				if err := r.run(); err != nil {
					t.Errorf("%v\nrepeat with: PARLEY_SEED=%d go test ./engine -run TestCrash -count=20", err, seed)
				}
				cuts.Add(uint64(r.cuts))
				flushes.Add(r.flushes)
				replayed.Add(r.replayed)
			}
		})
	}
	for seed := first; seed <= last && !t.Failed(); seed++ {
		next <- seed
	}
	close(next)
	seeds.Wait()
	t.Logf("%d seeds: %d cuts, %d flushes, %d commands replayed", last-first+1, cuts.Load(), flushes.Load(), replayed.Load())
	if first < last && (flushes.Load() == 0 || replayed.Load() == 0) {
		t.Error("nothing was flushed, or nothing was replayed")
	}
}

// crashRun is the life of one store, from cut to cut.
type crashRun struct {
	t       testing.TB
	rng     *rand.Rand
	fs      *vfs.MemFS
	traffic *traffic
	machine *notes
	now     func() time.Time

	cuts              int
	flushes, replayed uint64
}

func (r *crashRun) run() error {
	r.fs = vfs.NewCrashableMem()
	r.traffic = newTraffic(6, 3, []int{40, 1000}[r.rng.IntN(2)], 5)
	r.machine = &notes{}
	r.now = hours()
	partitions := 1 + r.rng.IntN(4)
	for range 1 + r.rng.IntN(2) {
		if err := r.untilCut(partitions); err != nil {
			return fmt.Errorf("cut %d: %w", r.cuts, err)
		}
	}
	return r.cleanClose(partitions)
}

func (r *crashRun) options(partitions int) Options {
	return Options{
		Partitions:      partitions,
		HeadSize:        []int{64 << 10, 100 << 10, 256 << 10}[r.rng.IntN(3)],
		HeadRowsMax:     []int{1, 4, 10, 500_000}[r.rng.IntN(4)],
		HeadsMax:        2 + r.rng.IntN(3),
		SegmentsOpenMax: 1 + r.rng.IntN(3),
		Now:             r.now,
	}
}

// untilCut opens what is left, judges it, and works on it until the power goes,
// at an operation chosen beforehand or when the work is done.
func (r *crashRun) untilCut(partitions int) error {
	seed, at := r.rng.Uint64(), int64(1+r.rng.IntN(600))
	keep := vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(91), RNG: rand.New(rand.NewPCG(seed, 2))}
	if r.rng.IntN(4) == 0 {
		keep.UnsyncedDataPercent = 0
	}
	var left *vfs.MemFS
	var told int
	var once sync.Once
	stop := make(chan struct{})
	cut := func() {
		once.Do(func() {
			time.Sleep(500 * time.Microsecond) // who is told too early is told by now
			told = r.traffic.told()
			left = r.fs.CrashClone(keep)
			close(stop)
		})
	}
	var operations atomic.Int64
	disk := hooked(r.fs, func(op errorfs.Op) error {
		if changesDisk(op) && operations.Add(1) == at {
			cut()
		}
		return nil
	})
	e, err := Open(disk, testDir, r.machine, testOptions(r.options(partitions)))
	if err != nil {
		return err
	}
	err = r.work(e, seed, stop)
	cut()
	r.flushes += e.Stats().Flushes
	err = errors.Join(err, e.Close())
	r.fs = left
	r.traffic.rewind(told)
	r.cuts++
	r.replayed += uint64(r.machine.replayed)
	r.machine = &notes{applied: r.machine.applied, err: r.machine.err}
	return err
}

func (r *crashRun) work(e *Engine, seed uint64, stop <-chan struct{}) error {
	if err := r.judge(e); err != nil {
		return err
	}
	idle := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { behave(r.t, e, rand.New(rand.NewPCG(seed, 3)), idle) })
	err := r.traffic.run(e, seed, 16, stop)
	close(idle)
	wg.Wait()
	return err
}

func (r *crashRun) judge(e *Engine) error {
	if err := r.traffic.check(r.t, e, false); err != nil {
		return err
	}
	return r.machine.sameAsAnew(r.t, e, r.options(e.Partitions()))
}

// cleanClose opens what the last cut left, closes it in good order, and finds
// nothing to replay in it.
func (r *crashRun) cleanClose(partitions int) error {
	e, err := Open(r.fs, testDir, r.machine, testOptions(r.options(partitions)))
	if err != nil {
		return err
	}
	err, state := r.judge(e), e.Hash()
	if err := errors.Join(err, e.Close()); err != nil {
		return err
	}
	r.replayed += uint64(r.machine.replayed)
	r.machine.replayed = 0
	e, err = Open(r.fs, testDir, r.machine, testOptions(r.options(partitions)))
	if err != nil {
		return err
	}
	err = r.traffic.check(r.t, e, false)
	if err == nil && e.Hash() != state {
		err = errors.New("the state changed over a clean close")
	}
	if err == nil && r.machine.replayed > 0 {
		err = fmt.Errorf("%d commands were replayed after a clean close", r.machine.replayed)
	}
	return errors.Join(err, e.Close())
}
