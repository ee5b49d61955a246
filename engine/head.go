package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// head is the newest records in memory: those of one log file, with the rows
// that changed while it was open. The applier fills it; once closed, only the
// flusher and readers look at it.
type head struct {
	file   uint64
	buffer []byte
	last   wal.LSN // of the newest record applied

	// entries stand in blocks that never move: readers look at those of their
	// own conversation while the applier adds to another's.
	entries [][]entry
	count   uint32   // of entries
	slots   []placed // conversations with a chain here
	changes []change
	touched map[touch]stamp

	cut     cut           // set when the head is closed
	flushed chan struct{} // closed when the catalogue names what it holds
}

func newHead() *head {
	return &head{touched: make(map[touch]stamp), flushed: make(chan struct{})}
}

// entry is the side array's line for a message: the log holds the bytes, apply
// gave the rest.
type entry struct {
	offset  uint32 // of the record in buffer
	prev    uint32 // of the conversation, in entries, plus one; 0 for none
	ordinal parley.Ordinal
}

// chain is a conversation's messages in one head.
type chain struct {
	head *head
	last uint32 // newest, in entries, plus one
	run  parley.SeqRange
}

type placed struct {
	slot      *Slot
	partition parley.PartitionID
	prefix    uint64 // of the id, for the order
}

// change is a row that changed while the head was open.
type change struct {
	slot      *Slot
	partition parley.PartitionID
	captured  bool
	removed   bool
	image     []byte // as of the closing, once captured
}

const entryBlock = 4096

// begin gives a new head its file.
func (h *head) begin(g wal.Group) {
	h.file, h.buffer = g.File, g.Buffer
	most := len(g.Buffer)/(recordHeaderSize+4) + 1
	h.entries = make([][]entry, most/entryBlock+1)
}

func (h *head) entry(at uint32) *entry { return &h.entries[at/entryBlock][at%entryBlock] }

func (h *head) empty() bool { return h.last == 0 }

// link puts the record at off behind the conversation's newest.
func (h *head) link(p parley.PartitionID, s *Slot, off uint32, ordinal parley.Ordinal) {
	n := len(s.chains)
	if n == 0 || s.chains[n-1].head != h {
		s.chains = append(s.chains, chain{head: h, run: parley.SeqRange{From: s.last}})
		h.slots = append(h.slots, placed{slot: s, partition: p, prefix: binary.BigEndian.Uint64(s.key.A[:])})
		n++
	}
	c := &s.chains[n-1]
	if h.count%entryBlock == 0 {
		h.entries[h.count/entryBlock] = make([]entry, entryBlock)
	}
	*h.entry(h.count) = entry{offset: off, prev: c.last, ordinal: ordinal}
	h.count++
	c.last = h.count
	c.run.To = s.last
}

// capture copies the row for the flush, as it was when the head was closed. The
// slot's partition is locked.
func (h *head) capture(at int) {
	c := &h.changes[at]
	if c.captured {
		return
	}
	c.captured = true
	if c.slot.row == nil {
		c.removed = true
		return
	}
	c.image = c.slot.image(make([]byte, 0, imageUsual))
}

// positions appends the entries of a chain in the order of their sequences.
func (c *chain) positions(dst []uint32) []uint32 {
	start := len(dst)
	for at := c.last; at != 0; at = c.head.entry(at - 1).prev {
		dst = append(dst, at-1)
	}
	slices.Reverse(dst[start:])
	return dst
}

// record is the record of an entry.
func (h *head) record(at uint32) []byte {
	return wal.RecordAt(h.buffer, int(h.entry(at).offset))
}

func recordIndex(record []byte) uint64 { return binary.LittleEndian.Uint64(record[16:]) }

// sortSlots brings the conversations into the order of a segment.
func (h *head) sortSlots() {
	slices.SortFunc(h.slots, func(a, b placed) int {
		switch {
		case a.partition != b.partition:
			return cmp.Compare(a.partition, b.partition)
		case a.prefix != b.prefix:
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(a.slot.key.A[:], b.slot.key.A[:])
	})
}

// chainIn finds the slot's chain in h. The slot's partition is locked.
func (s *Slot) chainIn(h *head) (chain, bool) {
	for _, c := range s.chains {
		if c.head == h {
			return c, true
		}
	}
	return chain{}, false
}
