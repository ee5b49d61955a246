package wal

import (
	"encoding/binary"
	"iter"
)

// Group is the records of one frame, which became durable together.
type Group struct {
	First LSN
	Count int

	// File is the number of the file that holds the group. Files are filled in
	// ascending order.
	File uint64

	// Buffer mirrors the file up to the end of the group at least.
	Buffer []byte

	// Offset is where in Buffer the first record's length stands.
	Offset int
}

// Last is the LSN of the group's last record.
func (g Group) Last() LSN { return g.First + LSN(g.Count) - 1 }

// Records yields each record with its LSN. The bytes are the buffer's own: they
// may be read as long as it may, and never be written.
func (g Group) Records() iter.Seq2[LSN, []byte] {
	return func(yield func(LSN, []byte) bool) {
		off := g.Offset
		for i := range g.Count {
			rec := RecordAt(g.Buffer, off)
			if !yield(g.First+LSN(i), rec) {
				return
			}
			off += recordHeaderSize + len(rec)
		}
	}
}

// RecordAt is the record whose length stands at off in the buffer of a file.
func RecordAt(buffer []byte, off int) []byte {
	n := int(binary.LittleEndian.Uint32(buffer[off:]))
	start := off + recordHeaderSize
	return buffer[start : start+n : start+n]
}

// after drops the records before from.
func (g Group) after(from LSN) Group {
	for g.Count > 0 && g.First < from {
		g.Offset += recordHeaderSize + len(RecordAt(g.Buffer, g.Offset))
		g.First++
		g.Count--
	}
	return g
}
