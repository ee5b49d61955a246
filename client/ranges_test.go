package client

import (
	"math/rand/v2"
	"testing"

	"github.com/parleychat/parley"
)

// Ranges are held against a plain set of sequences.
func TestRangesAreASet(t *testing.T) {
	const universe = 60
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var rs ranges
		var set [universe + 1]bool
		for range 12 {
			from := parley.Seq(r.IntN(universe) + 1)
			to := min(from+parley.Seq(r.IntN(6))-1, universe)
			rs = rs.add(parley.SeqRange{From: from, To: to})
			for s := from; s <= to; s++ {
				set[s] = true
			}
		}
		size := uint64(0)
		for s := parley.Seq(1); s <= universe; s++ {
			if set[s] {
				size++
			}
			if rs.contains(s) != set[s] {
				t.Fatalf("%v contains %d: %v", rs, s, !set[s])
			}
			if run, ok := rs.run(s); ok && (run.To < universe && set[run.To+1] || run.From > 1 && set[run.From-1]) {
				t.Fatalf("%v: the run %v goes on", rs, run)
			}
		}
		if rs.size() != size {
			t.Fatalf("%v has %d, want %d", rs, rs.size(), size)
		}
		window := parley.SeqRange{From: 10, To: 40}
		if held, holes := rs.within(window).size(), rs.missing(window).size(); held+holes != window.Len() {
			t.Fatalf("%v: %d held and %d missing of %d", rs, held, holes, window.Len())
		}
		for _, h := range rs.missing(window) {
			for s := h.From; s <= h.To; s++ {
				if set[s] || !window.Contains(s) {
					t.Fatalf("%v: %d is missing", rs, s)
				}
			}
		}
	}
}

func TestRangesAreBounded(t *testing.T) {
	var rs ranges
	for i := range parley.Seq(2 * rangesMax) {
		rs = rs.add(parley.SeqRange{From: 2*i + 1, To: 2*i + 1})
	}
	if len(rs) != rangesMax || rs.top() != 4*rangesMax-1 {
		t.Fatalf("%d ranges up to %d", len(rs), rs.top())
	}
}
