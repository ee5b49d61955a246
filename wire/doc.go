// Package wire is the protocol between a Parley server and its clients: the
// messages, their bytes, the frames that carry them and the codes that end a
// connection. It speaks to no socket; both sides use it.
//
//	var frames wire.Reassembler // of a connection; {Server: true} on the server's side
//	var decoder wire.RequestDecoder
//
//	frame, n, err := frames.Next(buffer)                    // a whole WebSocket message
//	requests, err := decoder.Decode(wire.Binary, frame.Payload)
//	outbox = wire.AppendServerMessage(outbox, wire.Binary, reply)
//
// The messages are generated from parley.proto, which is the protocol; for
// people it is described in docs/PROTOCOL.md. One WebSocket message carries one
// or more of them, so that a batch costs one write.
//
// Invariants:
//
//   - Nothing that arrives makes this package panic, or take more memory than a
//     fixed multiple of what arrived.
//   - What a decoder returns is borrowed: it is valid until the next call, and
//     only while the bytes that it was decoded from are unchanged.
//   - Sends and acknowledgements are decoded, and binary messages encoded,
//     without an allocation.
//   - A frame that RFC 6455 forbids is refused at its first byte that shows it,
//     with the close code of the RFC.
//
// The pools in the generated code belong to the decoders. Whoever else takes
// from them breaks the rule of what is borrowed.
package wire
