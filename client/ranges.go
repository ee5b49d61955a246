package client

import (
	"slices"

	"github.com/parleychat/parley"
)

// ranges are sequences that a device holds: ascending, and never touching each
// other.
type ranges []parley.SeqRange

// rangesMax bounds the stretches of one conversation. Past it the lowest one
// counts as not held, and is read again when it comes into view.
const rangesMax = 256

// add joins a range to those held.
func (rs ranges) add(r parley.SeqRange) ranges {
	if r.Empty() {
		return rs
	}
	i := 0
	for i < len(rs) && rs[i].To+1 < r.From {
		i++
	}
	j := i
	for j < len(rs) && rs[j].From <= r.To+1 {
		r.From, r.To = min(r.From, rs[j].From), max(r.To, rs[j].To)
		j++
	}
	rs = slices.Replace(rs, i, j, r)
	if len(rs) > rangesMax {
		rs = slices.Delete(rs, 0, 1)
	}
	return rs
}

// run is the range that holds a sequence.
func (rs ranges) run(s parley.Seq) (parley.SeqRange, bool) {
	for i := len(rs) - 1; i >= 0 && rs[i].To >= s; i-- {
		if rs[i].From <= s {
			return rs[i], true
		}
	}
	return parley.SeqRange{}, false
}

func (rs ranges) contains(s parley.Seq) bool {
	_, ok := rs.run(s)
	return ok
}

// top is the highest sequence held, 0 if there is none.
func (rs ranges) top() parley.Seq {
	if len(rs) == 0 {
		return 0
	}
	return rs[len(rs)-1].To
}

// within is what is held of a range.
func (rs ranges) within(r parley.SeqRange) ranges {
	var held ranges
	for _, h := range rs {
		h.From, h.To = max(h.From, r.From), min(h.To, r.To)
		if !h.Empty() {
			held = append(held, h)
		}
	}
	return held
}

// missing is what is not held of a range.
func (rs ranges) missing(r parley.SeqRange) ranges {
	var holes ranges
	at := r.From
	for _, h := range rs.within(r) {
		if h.From > at {
			holes = append(holes, parley.SeqRange{From: at, To: h.From - 1})
		}
		at = h.To + 1
	}
	if at <= r.To {
		holes = append(holes, parley.SeqRange{From: at, To: r.To})
	}
	return holes
}

// size is how many sequences the ranges have.
func (rs ranges) size() uint64 {
	n := uint64(0)
	for _, r := range rs {
		n += r.Len()
	}
	return n
}
