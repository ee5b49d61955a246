package bench

import (
	"fmt"
	"sync"

	"github.com/parleychat/parley"
)

// The kinds of violation.
const (
	lost         = "lost"         // acknowledged, and nowhere
	doubled      = "doubled"      // told twice, or two messages under one sequence
	reordered    = "reordered"    // not in the order of sequences, or of the sender
	gapped       = "gap"          // a sequence that no message has
	altered      = "altered"      // not what was sent, or not to whom
	unanswered   = "unanswered"   // a request without a reply
	refused      = "refused"      // with a code that forbids to try again
	disconnected = "disconnected" // by the server, in the middle
	unreadWrong  = "unread"       // the count is not what it must be
	marksWrong   = "marks"        // a watermark fell, or is not where it was put
)

// flaw is one violation. A nil *flaw is none.
type flaw struct{ kind, text string }

func newFlaw(kind, format string, args ...any) *flaw {
	return &flaw{kind, fmt.Sprintf(format, args...)}
}

// flaws counts violations and keeps the first few.
type flaws struct {
	mu    sync.Mutex
	count int
	kinds map[string]int
	first []string
}

// flawsKept bounds the violations of which a report has the words.
const flawsKept = 20

func (f *flaws) add(of *flaw) {
	if of == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.kinds == nil {
		f.kinds = map[string]int{}
	}
	f.kinds[of.kind]++
	if len(f.first) < flawsKept {
		f.first = append(f.first, of.kind+": "+of.text)
	}
}

// conversation is a direct conversation and what each of its two has seen of
// it. A side belongs to its user; the rest does not change once it is made.
type conversation struct {
	id    parley.ConversationID
	base  uint64 // its last sequence before the run
	sides [2]side
}

// side is what one user sent to a conversation and holds of it. It is enough to
// judge a history without keeping it: messages and acknowledgements are counted
// and hashed, and the two must agree.
type side struct {
	user  int32
	place int32 // of the conversation among his

	// What he sent.
	number    uint32 // the last given out
	ackNumber uint32 // the highest acknowledged, and its sequence
	ackSeq    uint64
	acks      pairs

	// What he holds.
	held       held
	pushSeq    uint64 // the last that came unasked
	pushNumber uint32
	got        pairs // of his peer
	repaired   bool  // some was pulled; its push may still come
	pulling    bool

	// Watermarks.
	marked    uint64 // his own, as last sent
	unmarked  uint64 // the first sequence of the peer above it; 0 where none is known
	dirty     bool   // listed to be sent
	delivered uint64 // of his peer, as last heard
	read      uint64
}

// pairs is a multiset of (number, sequence), by its size and a hash that does
// not depend on the order.
type pairs struct{ count, hash uint64 }

func (p *pairs) add(number uint32, seq uint64) {
	p.count++
	p.hash += mix(seq*0x9E3779B97F4A7C15 + uint64(number))
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// begin sets both sides to where the conversation stood before the run.
func (c *conversation) begin(id parley.ConversationID, last uint64) {
	c.id, c.base = id, last
	for i := range c.sides {
		s := &c.sides[i]
		s.held.prefix, s.pushSeq, s.ackSeq, s.marked = last, last, last, last
	}
}

// acknowledged takes the sequence that the server gave to a number of this
// side's user.
func (s *side) acknowledged(number uint32, seq uint64) *flaw {
	s.acks.add(number, seq)
	number0, seq0 := s.ackNumber, s.ackSeq
	inOrder := (number > number0) == (seq > seq0)
	if number > number0 || !inOrder {
		s.ackNumber, s.ackSeq = number, seq // so that one wrong receipt is one violation
	}
	fresh := s.held.add(seq)
	if !inOrder {
		return newFlaw(reordered, "number %d was acknowledged as sequence %d, number %d as sequence %d", number, seq, number0, seq0)
	}
	if !fresh {
		return newFlaw(doubled, "sequence %d was acknowledged for number %d, and was taken before", seq, number)
	}
	return nil
}

// pushed takes a message of the peer that came unasked.
func (s *side) pushed(number uint32, seq uint64) *flaw {
	if seq <= s.pushSeq {
		if seq == s.pushSeq || seq <= s.held.prefix {
			return newFlaw(doubled, "sequence %d was pushed again, after %d", seq, s.pushSeq)
		}
		return newFlaw(reordered, "sequence %d was pushed after %d", seq, s.pushSeq)
	}
	number0, seq0 := s.pushNumber, s.pushSeq
	s.pushSeq, s.pushNumber = seq, number
	fresh := s.held.add(seq)
	if fresh {
		s.holds(number, seq)
	}
	switch {
	case number <= number0:
		return newFlaw(reordered, "number %d was pushed after %d, as sequence %d after %d", number, number0, seq, seq0)
	case fresh || s.repaired: // or a late push of what was pulled
		return nil
	}
	return newFlaw(doubled, "sequence %d was pushed as the peer's number %d, and was taken before", seq, number)
}

// pulled takes a message of the peer from a page, and reports whether it was
// missing.
func (s *side) pulled(number uint32, seq uint64) bool {
	s.repaired = true
	if !s.held.add(seq) {
		return false
	}
	s.holds(number, seq)
	return true
}

// holds notes a message of the peer.
func (s *side) holds(number uint32, seq uint64) {
	s.got.add(number, seq)
	if s.unmarked == 0 || seq < s.unmarked {
		s.unmarked = seq
	}
}

// markDue reports whether the user holds, without a gap before it, a message of
// his peer that he has not marked.
func (s *side) markDue() bool { return s.unmarked != 0 && s.held.prefix >= s.unmarked }

// mark raises the user's watermarks to what he holds and returns it.
func (s *side) mark() uint64 {
	s.marked, s.unmarked = s.held.prefix, 0
	if len(s.held.ahead) > 0 {
		s.unmarked = s.held.ahead[0].from
	}
	return s.marked
}

// peerMarked takes the watermarks of the peer.
func (s *side) peerMarked(delivered, read uint64) *flaw {
	if delivered < s.delivered || read < s.read {
		return newFlaw(marksWrong, "the peer's watermarks fell from (%d, %d) to (%d, %d)", s.delivered, s.read, delivered, read)
	}
	s.delivered, s.read = delivered, read
	return nil
}

// top is the highest sequence that anybody was told of.
func (c *conversation) top() uint64 {
	return max(c.sides[0].held.top(), c.sides[1].held.top())
}

// settled reports whether both sides hold everything.
func (c *conversation) settled() bool {
	return c.sides[0].held.prefix == c.sides[1].held.prefix && len(c.sides[0].held.ahead)+len(c.sides[1].held.ahead) == 0
}

// judge says what is wrong with a conversation once nothing is under way. say
// is called for each flaw.
func (c *conversation) judge(say func(*flaw)) {
	top := c.top()
	for i := range c.sides {
		from, to := &c.sides[i], &c.sides[1-i]
		if open := uint64(from.number) - from.acks.count; open > 0 {
			say(newFlaw(unanswered, "conversation %v: %d of %d sends of user %d", c.id, open, from.number, from.user))
		}
		c.judgeDirection(from, to, say)
	}
	for i := range c.sides {
		s := &c.sides[i]
		if hole := s.held.hole(top); hole.to >= hole.from {
			say(newFlaw(gapped, "conversation %v: user %d has no sequence %d..%d of %d", c.id, s.user, hole.from, hole.to, top))
		}
	}
}

// judgeDirection compares what a user was acknowledged with what his peer got.
func (c *conversation) judgeDirection(from, to *side, say func(*flaw)) {
	acks, got := from.acks, to.got
	switch {
	case got.count < acks.count:
		say(newFlaw(lost, "conversation %v: user %d got %d of the %d messages acknowledged to user %d", c.id, to.user, got.count, acks.count, from.user))
	case got.count > uint64(from.number):
		say(newFlaw(doubled, "conversation %v: user %d got %d messages, user %d sent %d", c.id, to.user, got.count, from.user, from.number))
	case got.count == acks.count && got.hash != acks.hash:
		say(newFlaw(altered, "conversation %v: user %d got other sequences than user %d was acknowledged", c.id, to.user, from.user))
	}
}
