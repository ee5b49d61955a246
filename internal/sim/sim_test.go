package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

func number(t *testing.T, name string, otherwise uint64) uint64 {
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

// TestPowerCuts cuts the power of a node at a random operation, three times a
// seed. PARLEY_SEED runs one seed, PARLEY_SEEDS that many from 1 on.
func TestPowerCuts(t *testing.T) {
	first, last := uint64(1), number(t, "PARLEY_SEEDS", 60)
	if one := number(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	var sum Figures
	for seed := first; seed <= last; seed++ {
		f, err := Run(Options{Seed: seed})
		if err != nil {
			t.Fatalf("%v\nrepeat with: PARLEY_SEED=%d go test ./internal/sim -run TestPowerCuts -count=20", err, seed)
		}
		sum.Acknowledged += f.Acknowledged
		sum.Repeated += f.Repeated
		sum.Refused += f.Refused
		sum.Cuts += f.Cuts
		sum.Flushes += f.Flushes
		sum.Below += f.Below
		sum.Closed += f.Closed
		sum.Open += f.Open
	}
	t.Logf("%d seeds: %+v; 0 acknowledged lost, doubled or out of order", last-first+1, sum)
	if sum.Acknowledged == 0 || sum.Flushes == 0 {
		t.Fatalf("nothing was tried: %+v", sum)
	}
}

// TestTruncatingLogGivesTheSameState sends the same commands through the wal and
// through a log that loses its tail at random: one state.
func TestTruncatingLogGivesTheSameState(t *testing.T) {
	first, last := uint64(1), number(t, "PARLEY_SEEDS", 60)
	if one := number(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	cuts := 0
	for seed := first; seed <= last; seed++ {
		var log *Truncating
		plain := stateOf(t, seed, nil, func() {})
		truncated := stateOf(t, seed, OpenTruncating(seed, func(l *Truncating) { log = l }), func() { log.Resume() })
		cuts += log.Cuts
		if plain != truncated {
			t.Fatalf("seed %d: the two logs give two states", seed)
		}
	}
	if cuts == 0 {
		t.Error("no tail was ever cut")
	}
	t.Logf("%d tails cut", cuts)
}

// stateOf applies a seed's commands and returns the state they give.
func stateOf(t *testing.T, seed uint64, open engine.OpenLog, resume func()) [32]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	e, err := engine.Open(vfs.NewMem(), dir, engine.Plain{}, engine.Options{
		Partitions: 4, HeadSize: 64 << 10, HeadRowsMax: 1 + rng.IntN(20), OpenLog: open,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	next := make(map[parley.ConversationID]parley.Number)
	for round := range 20 {
		var batches []*engine.Batch
		for range 1 + rng.IntN(6) {
			b := &engine.Batch{}
			for range 1 + rng.IntN(5) {
				c := parley.ConversationID{byte(rng.IntN(6))}
				next[c]++
				n := next[c]
				if rng.IntN(10) == 0 {
					n += parley.Number(rng.IntN(3)) // refused, or a repeat with another body
				}
				cmd := engine.PlainAppend(e, c, 1<<32, n, binary.LittleEndian.AppendUint64(nil, rng.Uint64()))
				cmd.Time = int64(round+1) * 1000
				b.Commands = append(b.Commands, cmd)
			}
			batches = append(batches, b)
		}
		appendAll(t, e, batches, resume)
	}
	return e.Hash()
}

// appendAll appends the batches in order, again from the first that was lost,
// until all are applied.
func appendAll(t *testing.T, e *engine.Engine, batches []*engine.Batch, resume func()) {
	t.Helper()
	for len(batches) > 0 {
		var wg sync.WaitGroup
		taken := 0
		for _, b := range batches {
			b.Done = func(*engine.Batch) { wg.Done() }
			wg.Add(1)
			if err := e.Append(b); errors.Is(err, parley.Unavailable) {
				wg.Done()
				break
			} else if err != nil {
				t.Fatal(err)
			}
			taken++
		}
		wg.Wait()
		done := 0
		for done < taken && batches[done].Err == nil {
			done++
		}
		for _, b := range batches[done:taken] {
			if !errors.Is(b.Err, engine.ErrLost) {
				t.Fatalf("a batch behind a lost one was applied: %v", b.Err)
			}
		}
		batches = batches[done:]
		resume()
	}
}

func Example() {
	f, err := Run(Options{Seed: 1, Generations: 1, Steps: 20})
	fmt.Println(f.Cuts, err)
	// Output: 1 <nil>
}
