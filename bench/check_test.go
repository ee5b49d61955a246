package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parleychat/parley"
)

// The histories of a conversation of two: what the server told whom.
type told struct {
	what   string // ack, push, pull
	side   int
	number uint32
	seq    uint64
}

// judged plays a history and returns the kinds of violation seen.
func judged(sent [2]uint32, history ...told) []string {
	var c conversation
	c.begin(parley.ConversationID{1}, 10)
	var kinds []string
	say := func(f *flaw) {
		if f != nil {
			kinds = append(kinds, f.kind)
		}
	}
	for i := range c.sides {
		c.sides[i].number = sent[i]
	}
	for _, h := range history {
		s := &c.sides[h.side]
		switch h.what {
		case "ack":
			say(s.acknowledged(h.number, h.seq))
		case "push":
			say(s.pushed(h.number, h.seq))
		case "pull":
			s.pulled(h.number, h.seq)
		}
	}
	c.judge(say)
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func TestGoodHistories(t *testing.T) {
	for name, h := range map[string][]told{
		"one message":             {{"ack", 0, 1, 11}, {"push", 1, 1, 11}},
		"push before receipt":     {{"push", 1, 1, 11}, {"ack", 0, 1, 11}},
		"pulled instead":          {{"ack", 0, 1, 11}, {"pull", 1, 1, 11}},
		"pulled, then pushed too": {{"ack", 0, 1, 11}, {"pull", 1, 1, 11}, {"push", 1, 1, 11}},
		"a hole, filled":          {{"ack", 0, 1, 11}, {"ack", 0, 2, 12}, {"push", 1, 2, 12}, {"pull", 1, 1, 11}},
	} {
		var sent [2]uint32
		for _, e := range h {
			if e.what == "ack" {
				sent[e.side] = max(sent[e.side], e.number)
			}
		}
		if got := judged(sent, h...); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWrongHistories(t *testing.T) {
	for _, c := range []struct {
		name string
		sent [2]uint32
		want string
		h    []told
	}{
		{"acknowledged, never arrived", [2]uint32{1, 0}, lost, []told{{"ack", 0, 1, 11}}},
		{"the last of three", [2]uint32{3, 0}, lost, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 12}, {"ack", 0, 3, 13}, {"push", 1, 1, 11}, {"push", 1, 2, 12}}},
		{"pushed twice", [2]uint32{1, 0}, doubled, []told{{"ack", 0, 1, 11}, {"push", 1, 1, 11}, {"push", 1, 1, 11}}},
		{"stored twice", [2]uint32{1, 0}, reordered, []told{{"ack", 0, 1, 11}, {"push", 1, 1, 11}, {"push", 1, 1, 12}}},
		{"two messages, one sequence", [2]uint32{1, 1}, doubled, []told{{"ack", 0, 1, 11}, {"ack", 1, 1, 11}, {"push", 1, 1, 11}}},
		{"two receipts, one sequence", [2]uint32{2, 0}, reordered, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 11}, {"push", 1, 1, 11}}},
		{"pushes turned round", [2]uint32{2, 0}, reordered, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 12}, {"push", 1, 2, 12}, {"push", 1, 1, 11}}},
		{"stored out of the sender's order", [2]uint32{2, 0}, reordered, []told{{"ack", 0, 1, 12}, {"ack", 0, 2, 11}, {"push", 1, 2, 11}, {"push", 1, 1, 12}}},
		{"a sequence without a message", [2]uint32{2, 0}, gapped, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 13}, {"push", 1, 1, 11}, {"push", 1, 2, 13}}},
		{"begins with a gap", [2]uint32{1, 0}, gapped, []told{{"ack", 0, 1, 12}, {"push", 1, 1, 12}}},
		{"below where it stood", [2]uint32{1, 0}, reordered, []told{{"ack", 0, 1, 10}, {"push", 1, 1, 11}}},
		{"other sequences than acknowledged", [2]uint32{2, 1}, altered, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 12}, {"push", 1, 1, 11}, {"push", 1, 2, 13}}},
		{"other numbers than acknowledged", [2]uint32{3, 0}, altered, []told{{"ack", 0, 1, 11}, {"ack", 0, 2, 12}, {"push", 1, 1, 11}, {"push", 1, 3, 12}}},
		{"no receipt", [2]uint32{1, 0}, unanswered, []told{{"push", 1, 1, 11}}},
		{"more than was sent", [2]uint32{1, 0}, doubled, []told{{"ack", 0, 1, 11}, {"push", 1, 1, 11}, {"push", 1, 2, 12}}},
	} {
		if got := judged(c.sent, c.h...); !slices.Contains(got, c.want) {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
}

func TestWatermarksThatFall(t *testing.T) {
	var s side
	for _, c := range []struct {
		delivered, read uint64
		good            bool
	}{{3, 1, true}, {3, 3, true}, {2, 3, false}, {5, 3, true}, {5, 2, false}} {
		if f := s.peerMarked(c.delivered, c.read); (f == nil) != c.good {
			t.Errorf("(%d, %d): %v", c.delivered, c.read, f)
		}
	}
}

// TestMarksAreOfThePrefix has a message of the peer arrive before what lies in
// front of it.
func TestMarksAreOfThePrefix(t *testing.T) {
	var c conversation
	c.begin(parley.ConversationID{1}, 0)
	s := &c.sides[0]
	s.acknowledged(1, 1)
	if s.markDue() {
		t.Error("an own message was to be marked")
	}
	s.pushed(1, 3)
	if s.markDue() {
		t.Error("a message behind a hole was to be marked")
	}
	s.acknowledged(2, 2)
	if !s.markDue() || s.mark() != 3 {
		t.Error("the hole is filled, and nothing was to be marked")
	}
	if s.markDue() {
		t.Error("marked again")
	}
	s.pushed(2, 4)
	s.pushed(3, 6)
	if !s.markDue() || s.mark() != 4 || s.markDue() {
		t.Error("marks of a prefix with more ahead")
	}
	s.pulled(9, 5)
	if !s.markDue() || s.mark() != 6 {
		t.Error("marks after the hole")
	}
}

// TestHeldAgainstMap adds sequences in random order.
func TestHeldAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		h, model := held{prefix: 5}, map[uint64]bool{}
		for range 60 {
			seq := 1 + random.Uint64N(40)
			fresh := seq > 5 && !model[seq]
			model[seq] = true
			if h.add(seq) != fresh {
				t.Fatalf("round %d: add(%d) is not %v in %+v", round, seq, fresh, h)
			}
			checkHeld(t, &h, model)
		}
	}
}

func checkHeld(t *testing.T, h *held, model map[uint64]bool) {
	t.Helper()
	in := func(seq uint64) bool {
		if seq <= h.prefix {
			return true
		}
		return slices.ContainsFunc(h.ahead, func(s span) bool { return s.from <= seq && seq <= s.to })
	}
	top, end := uint64(5), h.prefix
	for seq := uint64(1); seq <= 40; seq++ {
		if in(seq) != (seq <= 5 || model[seq]) {
			t.Fatalf("%d: %+v", seq, h)
		}
		if model[seq] {
			top = max(top, seq)
		}
	}
	for _, s := range h.ahead {
		if s.from <= end+1 || s.to < s.from {
			t.Fatalf("ranges that touch, or are empty: %+v", h)
		}
		end = s.to
	}
	if h.top() != top {
		t.Fatalf("top %d, not %d: %+v", h.top(), top, h)
	}
	if hole := h.hole(top); hole.to >= hole.from && (in(hole.from) || in(hole.to)) || hole.to < hole.from && h.prefix != top {
		t.Fatalf("hole %v: %+v", hole, h)
	}
}
