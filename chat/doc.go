// Package chat holds the rules of Parley: who may send, what a send does, who is
// told, what a reader sees.
//
// Machine is the rules as a deterministic machine: package engine calls it with
// each command in log order, and it decides by the command and the rows of the
// conversation alone. Service is the door to it: it refuses early what is
// plainly wrong, looks up the facts that a command must carry, appends it, and
// answers reads.
//
//	s, err := chat.Open(fs, "data", chat.Options{})
//	ann, err := s.Login(ctx, parley.DefaultTenant, "ann", Device{})
//	room, err := s.CreateDirect(ctx, ann.Identity, bob.User)
//	receipt, err := s.Send(ctx, ann.Identity, parley.Draft{Conversation: room, Stream: ann.Stream, Number: 1, Kind: parley.KindText, Body: text})
//
// Promises:
//
//   - A receipt is given only for what is durable and applied.
//   - Sequences of a conversation are 1, 2, 3, … for every reader.
//   - Each (stream, number) is applied once, in the order of its numbers; the
//     same number with another body is parley.NumberReused.
//   - Watermarks only rise. Unread is derived from them by one function, and
//     never counted separately.
//   - Only members read, in the intervals in which they belong.
//
// The bytes of commands and rows are described in docs/format/chat.md.
package chat
