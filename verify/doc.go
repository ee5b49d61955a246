// Package verify reads a data folder offline and proves that it is whole, or
// names the flaw.
//
// It shares the readers of the file formats with the server and nothing else:
// it decodes commands and rows by the format pages, folds them by a model of its
// own that keeps every message in plain lists, and counts again what the server
// derives. So a fault of the server's arithmetic does not excuse itself.
//
//	report, err := verify.Folder(fs, "data")
//
// What it proves:
//
//   - every segment that the catalogue names is there, whole, and holds what the
//     catalogue says; runs name the segment before them;
//   - sequences of every conversation are 1, 2, 3, …, across segments and log;
//   - there is one record for each (stream, number), and the numbers of a stream
//     are 1, 2, 3, … in the order of sequences;
//   - indexes of every partition are dense from the cut to the end of the log;
//   - every row is the fold of the records: members, intervals, roles, ordinals,
//     streams, and the facts behind each read watermark;
//   - unread is what a recount gives;
//   - every member has the conversation in his list.
//
// It holds about 100 bytes of memory for each message.
package verify
