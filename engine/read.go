package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/tiering/segment"
)

// Message is a linked command as a reader sees it.
type Message struct {
	Seq     parley.Seq
	Ordinal parley.Ordinal
	Command // as it stands in the log
}

// readChunk bounds what is copied under a partition's lock at once.
const readChunk = 128

// Read yields the messages of a conversation in a range, in order, from heads
// and segments alike. A range that ends beyond the last sequence is cut there.
// The bytes of a message are valid until the next is asked for. A sequence that
// should be there and is not is ErrCorrupt, never a short answer.
func (e *Engine) Read(ctx context.Context, p parley.PartitionID, c parley.ConversationID, want parley.SeqRange) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := reading{e: e, p: e.partitions[p], conversation: c, want: want, yield: yield}
		r.want.From = max(want.From, 1)
		for !r.want.Empty() && !r.stopped {
			if err := ctx.Err(); err != nil {
				yield(Message{}, err)
				return
			}
			if err := r.step(); err != nil {
				if !r.stopped {
					yield(Message{}, err)
				}
				return
			}
		}
	}
}

// Newest calls f for the messages of a conversation from its last backwards,
// until f returns false or the next is not in a head. Their bytes are valid
// until f returns. It touches no disk and allocates nothing.
func (v *View) Newest(s *Slot, f func(m Message) bool) {
	if v.p.closed {
		return
	}
	var m Message
	m.Seq = s.last
	for i := len(s.chains) - 1; i >= 0; i-- {
		c := &s.chains[i]
		if c.run.To != m.Seq {
			return
		}
		for at := c.last; at != 0; at = c.head.entry(at - 1).prev {
			cmd, err := ParseRecord(c.head.record(at - 1))
			if err != nil {
				return
			}
			m.Command, m.Ordinal = cmd, c.head.entry(at-1).ordinal
			if !f(m) {
				return
			}
			m.Seq--
		}
	}
}

// reading is one Read on its way; want shrinks from the front.
type reading struct {
	e            *Engine
	p            *partition
	conversation parley.ConversationID
	want         parley.SeqRange
	yield        func(Message, error) bool
	stopped      bool

	positions []uint32
	bytes     []byte
	chunk     []copied
}

type copied struct {
	seq      parley.Seq
	ordinal  parley.Ordinal
	from, to int
}

// step reads on: a chunk of a head, or all that is wanted of the segments.
func (r *reading) step() error {
	newest, found, err := r.copyFromHeads()
	if err != nil {
		return err
	}
	if found {
		return r.yieldChunk()
	}
	if r.want.Empty() {
		return nil
	}
	return r.readSegments(newest)
}

// copyFromHeads copies the next messages if a head has them; else it returns
// the newest segment of the conversation.
func (r *reading) copyFromHeads() (newest uint64, found bool, err error) {
	r.p.mu.RLock()
	defer r.p.mu.RUnlock()
	s := r.p.rows.find(ConversationKey(r.conversation))
	if s == nil {
		r.want.To = 0
		return 0, false, nil
	}
	if r.p.closed {
		return 0, false, ErrClosed
	}
	r.want.To = min(r.want.To, s.last)
	for i := range s.chains {
		c := &s.chains[i]
		if c.run.Contains(r.want.From) {
			r.copyChunk(c)
			return 0, true, nil
		}
	}
	return s.segment, false, nil
}

func (r *reading) copyChunk(c *chain) {
	r.positions = c.positions(r.positions[:0])
	skip := int(r.want.From - c.run.From)
	n := min(len(r.positions)-skip, int(min(r.want.Len(), readChunk)))
	r.bytes, r.chunk = r.bytes[:0], r.chunk[:0]
	for i, at := range r.positions[skip : skip+n] {
		from := len(r.bytes)
		r.bytes = append(r.bytes, c.head.record(at)...)
		r.chunk = append(r.chunk, copied{r.want.From + parley.Seq(i), c.head.entry(at).ordinal, from, len(r.bytes)})
	}
}

func (r *reading) yieldChunk() error {
	for _, m := range r.chunk {
		if err := r.give(m.seq, m.ordinal, r.bytes[m.from:m.to]); err != nil || r.stopped {
			return err
		}
	}
	return nil
}

// give passes one message on.
func (r *reading) give(seq parley.Seq, ordinal parley.Ordinal, record []byte) error {
	if seq != r.want.From {
		return fmt.Errorf("%w: sequence %d of %v where %d was due", ErrCorrupt, seq, r.conversation, r.want.From)
	}
	c, err := ParseRecord(record)
	if err != nil {
		return err
	}
	r.want.From++
	if !r.yield(Message{Seq: seq, Ordinal: ordinal, Command: c}, nil) {
		r.stopped = true
	}
	return nil
}

// readSegments walks back from the newest segment to the one that holds the
// first message wanted, and then forward.
func (r *reading) readSegments(newest uint64) error {
	var way []uint64
	for id := newest; ; {
		if id == 0 {
			return fmt.Errorf("%w: sequence %d of %v is in no segment", ErrCorrupt, r.want.From, r.conversation)
		}
		run, err := r.run(id)
		if err != nil {
			return err
		}
		way = append(way, id)
		if run.First <= r.want.From {
			break
		}
		if run.Previous >= id {
			return fmt.Errorf("%w: segment %d names segment %d as the one before it", ErrCorrupt, id, run.Previous)
		}
		id = run.Previous
	}
	due := r.want.From
	for _, id := range slices.Backward(way) {
		if err := r.readSegment(id); err != nil || r.stopped || r.want.Empty() {
			return err
		}
	}
	if r.want.From == due {
		return fmt.Errorf("%w: sequence %d of %v is not in segment %d, its newest", ErrCorrupt, due, r.conversation, newest)
	}
	return nil
}

func (r *reading) run(id uint64) (segment.Run, error) {
	s, err := r.e.segments.acquire(r.e, id)
	if err != nil {
		return segment.Run{}, err
	}
	defer r.e.segments.release(s)
	key := runKey{r.p.id, r.conversation}
	if run, ok := r.e.segments.known(s, key); ok {
		return run, nil
	}
	run, ok, err := s.reader.Run(r.p.id, r.conversation)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %v is not in segment %d, which it names", ErrCorrupt, r.conversation, id)
	}
	if err == nil {
		r.e.segments.remember(s, key, run)
	}
	return run, err
}

func (r *reading) readSegment(id uint64) error {
	s, err := r.e.segments.acquire(r.e, id)
	if err != nil {
		return err
	}
	defer r.e.segments.release(s)
	for m, err := range s.reader.Messages(r.p.id, r.conversation, r.want) {
		if err != nil {
			return err
		}
		if err := r.give(m.Seq, m.Ordinal, m.Record); err != nil || r.stopped {
			return err
		}
	}
	return nil
}

// segmentCache keeps the segments used last open, up to a bound.
type segmentCache struct {
	open int // the bound

	mu     sync.Mutex // guards below
	all    map[uint64]*openSegment
	clock  uint64
	closed bool // none is opened any more; the last user closes what is in use
}

type openSegment struct {
	id     uint64
	reader *segment.Reader
	users  int
	used   uint64
	runs   map[runKey]segment.Run // looked up before, at most runsMax
}

type runKey struct {
	partition    parley.PartitionID
	conversation parley.ConversationID
}

// runsMax bounds the runs remembered of one open segment.
const runsMax = 4096

func (c *segmentCache) known(s *openSegment, k runKey) (segment.Run, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run, ok := s.runs[k]
	return run, ok
}

func (c *segmentCache) remember(s *openSegment, k runKey, run segment.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.runs == nil || len(s.runs) >= runsMax {
		s.runs = make(map[runKey]segment.Run)
	}
	s.runs[k] = run
}

func (c *segmentCache) acquire(e *Engine, id uint64) (*openSegment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	c.clock++
	s := c.all[id]
	if s == nil {
		r, err := segment.Open(e.fs, e.segmentPath(id))
		if err != nil {
			return nil, err
		}
		if got := r.Info().ID; got != id {
			return nil, errors.Join(fmt.Errorf("%w: segment %d stands in the place of %d", ErrCorrupt, got, id), r.Close())
		}
		s = &openSegment{id: id, reader: r}
		if c.all == nil {
			c.all = make(map[uint64]*openSegment)
		}
		c.all[id] = s
	}
	s.used = c.clock
	s.users++
	if err := c.shrink(); err != nil {
		s.users--
		return nil, err
	}
	return s, nil
}

// shrink closes the segment unused for longest when there are too many.
func (c *segmentCache) shrink() error {
	if len(c.all) <= c.open {
		return nil
	}
	var oldest *openSegment
	for _, s := range c.all {
		if s.users == 0 && (oldest == nil || s.used < oldest.used) {
			oldest = s
		}
	}
	if oldest == nil {
		return nil
	}
	delete(c.all, oldest.id)
	return oldest.reader.Close()
}

func (c *segmentCache) release(s *openSegment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users--
	if c.closed && s.users == 0 {
		_ = s.reader.Close() // nothing was written
	}
}

func (c *segmentCache) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func (c *segmentCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, s := range c.all {
		if s.users == 0 {
			err = errors.Join(err, s.reader.Close())
		}
	}
	c.all, c.closed = nil, true
	return err
}
