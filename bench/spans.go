package bench

// held is a set of sequences that mostly grows at its end: all up to prefix,
// and some ranges ahead of it, sorted and apart from each other. A range ahead
// means a hole before it.
type held struct {
	prefix uint64
	ahead  []span
}

// span is the sequences from to to, both included.
type span struct{ from, to uint64 }

// add reports false for a sequence that was in the set.
func (h *held) add(seq uint64) bool {
	switch {
	case seq <= h.prefix:
		return false
	case seq == h.prefix+1:
		h.prefix++
		h.join()
		return true
	}
	i := len(h.ahead)
	for i > 0 && h.ahead[i-1].from > seq {
		i--
	}
	// Range i-1 begins at or before seq, range i after it.
	if i > 0 && seq <= h.ahead[i-1].to {
		return false
	}
	after := i > 0 && h.ahead[i-1].to+1 == seq
	before := i < len(h.ahead) && h.ahead[i].from == seq+1
	switch {
	case after && before:
		h.ahead[i-1].to = h.ahead[i].to
		h.ahead = append(h.ahead[:i], h.ahead[i+1:]...)
	case after:
		h.ahead[i-1].to = seq
	case before:
		h.ahead[i].from = seq
	default:
		h.ahead = append(h.ahead, span{})
		copy(h.ahead[i+1:], h.ahead[i:])
		h.ahead[i] = span{seq, seq}
	}
	return true
}

// join moves the prefix over a range that it has reached.
func (h *held) join() {
	if len(h.ahead) > 0 && h.ahead[0].from == h.prefix+1 {
		h.prefix = h.ahead[0].to
		h.ahead = append(h.ahead[:0], h.ahead[1:]...)
	}
}

// top is the highest sequence in the set.
func (h *held) top() uint64 {
	if n := len(h.ahead); n > 0 {
		return h.ahead[n-1].to
	}
	return h.prefix
}

// hole is the first range that is missing below top; it is empty (to below
// from) where none is.
func (h *held) hole(top uint64) span {
	if len(h.ahead) > 0 {
		return span{h.prefix + 1, h.ahead[0].from - 1}
	}
	return span{h.prefix + 1, top}
}
