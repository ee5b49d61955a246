// Package segment reads and writes the immutable files that hold messages once
// they have left the log.
//
// A segment holds runs: contiguous sequences of one conversation. Runs stand in
// the order (partition, conversation, sequence), so that a conversation is one
// stretch of the file, and each names the segment that holds the conversation's
// messages before it, so that scrolling back needs no probing. A segment is
// written once, by one Writer, and is readable alone: it carries every id.
//
//	w, err := segment.Create(fs, path, id)
//	err = w.Run(segment.Run{Partition: 3, Conversation: c, Previous: 7, First: 101})
//	err = w.Add(segment.Message{Index: 5, Ordinal: 90, Record: record})
//	info, err := w.Finish() // synced
//
// Invariants:
//
//   - A file without a whole footer is no segment; Open refuses it.
//   - Every byte read back was checked against its checksum, which covers the
//     place of the block in its file: a block at a wrong place is ErrCorrupt.
//
// The bytes are drawn in format.go and in docs/format/segment.md.
package segment
