// Package engine keeps durable per-conversation logs and the rows that are
// derived from them.
//
// The log holds commands; apply makes results. Append hands a batch of commands
// to the log; once they are on stable storage one goroutine applies them in log
// order through a Machine, which decides each, changes rows and links messages
// to their conversation. Only then the batch is done. What anybody is told can
// therefore be read again from the log.
//
//	e, err := engine.Open(fs, "data", engine.Plain{}, engine.Options{})
//	results, err := e.AppendWait(ctx, engine.PlainAppend(e, conversation, writer, stream, 1, body))
//	for message, err := range e.Read(ctx, conversation, parley.SeqRange{From: 1, To: 50}) {
//
// Storage:
//
//   - A head is the memory of one log file: the records are read in the log's
//     own buffer, linked per conversation by a side array. Log bytes are never
//     touched again.
//   - A closed head is sorted and written as one segment. Its records, and every
//     row changed since the head before was closed, as of this closing, become
//     durable together: the segment is synced, then one atomic, synced batch of
//     the catalogue names it and holds the rows and the cut.
//   - The cut is a log position with an index for each partition. Replay starts
//     there and decides everything behind it again, from the state in which it
//     was decided first. So no state is lost in a crash, and a message costs no
//     key-value write.
//
// Invariants:
//
//   - Apply is a pure function of the log and the rows of one partition: no
//     clock, no options, no other partition, no disk. Two replicas at one index
//     have one state (Hash).
//   - Indexes of a partition are dense; sequences of a conversation are dense.
//   - The cut is never past the durable log. A log that ends before its cut was
//     lost: Open refuses it.
//   - Nothing is deleted before the batch that makes it superfluous is synced.
//
// Every row is in memory; Options.RowsMax bounds them. The bytes are described
// in docs/format.
package engine
