// Package wal makes records durable, in order.
//
// A log is a row of numbered files; a record is opaque bytes. Append copies a
// batch of records into the log's buffer and returns; one committer writes all
// that has gathered as one frame with one synced write, and calls Commit, in
// order, for every frame that is durable. The previous write is the batching
// window: there is no timer.
//
//	log, err := wal.Open(fs, "data/wal", wal.Options{Replay: replay})
//	first, err := log.Append(records)         // durable when Commit says so, or:
//	last, err := log.AppendWait(ctx, records) // where waiting is fine
//
// Invariants:
//
//   - LSNs are dense: n+1 follows n, across files and restarts.
//   - One frame is one write and one sync, and one is in flight at a time. So a
//     valid frame of the same epoch behind a bad one is corruption, and never a
//     torn tail.
//   - Every use of a file has its own random epoch, and a log that was opened
//     goes on in a new file. A stale frame, or a body that imitates one, is
//     never taken for a frame.
//   - A failed write or sync ends the log: its pages may already be marked
//     clean, so it is never tried again.
//   - A file is recycled only when Trim has passed its last record.
//
// The buffer of a file mirrors the file byte for byte. With Options.Retain the
// buffers stay readable until Trim passes them, so that the log's buffer can be
// a storage engine's table of newest records, and a message is copied once.
//
// The bytes are drawn in format.go and, for readers of other languages, in
// docs/format/wal.md. The package knows nothing of conversations; package
// engine gives records their meaning.
package wal
