package sim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
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
	var mu sync.Mutex
	var sum Figures
	seeds := eachSeed(t, func(seed uint64) {
		f, err := Run(Options{Seed: seed})
		if err != nil {
			t.Errorf("%v\nrepeat with: PARLEY_SEED=%d go test ./internal/sim -run TestPowerCuts -count=20", err, seed)
		}
		mu.Lock()
		defer mu.Unlock()
		sum.Add(f)
	})
	if t.Failed() {
		return
	}
	t.Logf("%d seeds: %+v; 0 acknowledged lost, doubled or out of order", seeds, sum)
	if sum.Acknowledged == 0 || sum.Below == 0 || sum.Open == 0 || sum.Closed == 0 && seeds > 20 {
		t.Fatal("the cuts did not land everywhere")
	}
}

// eachSeed runs the seeds that the environment asks for, several at once, for
// they mostly wait, and none more once one has failed.
func eachSeed(t *testing.T, run func(seed uint64)) (seeds uint64) {
	t.Helper()
	first, last := uint64(1), number(t, "PARLEY_SEEDS", seedsShort)
	if one := number(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range next {
				run(seed)
			}
		})
	}
	for seed := first; seed <= last && !t.Failed(); seed++ {
		next <- seed
	}
	close(next)
	workers.Wait()
	return last - first + 1
}

func Example() {
	f, err := Run(Options{Seed: 1, Generations: 1, Steps: 20})
	fmt.Println(f.Cuts, err)
	// Output: 1 <nil>
}
