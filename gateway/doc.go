// Package gateway holds the sockets: it turns frames into calls of a backend,
// and what the backend says into frames.
//
//	server := gateway.New(gateway.Options{})
//	err := server.Start(backend)
//	http.Handle("/ws", server)
//
//	server.Reply(session, reply)           // the backend's answers and pushes,
//	server.Push(members, session, message) // from any goroutine, to all but one,
//	server.Flush()                         // written when its batch ends
//
// The route of a connection: net/http reads the handshake, and ServeHTTP judges
// it and takes the connection over. From then on it lives in nbio's poller,
// without a goroutine of its own. The poller reads, a wire.Reassembler and a
// wire.RequestDecoder make requests of the bytes, and Backend.Submit takes them.
// Replies and pushes are encoded into the outbox of their session at once, and
// written when somebody flushes: a write costs as much as ten frames do, so all
// that has gathered leaves as one WebSocket message, in one write.
//
// Invariants:
//
//   - Nothing that a backend calls waits for a socket, and nothing on the poller
//     waits at all.
//   - What waits for a session that does not read is bounded: it is written to
//     nbio only when nbio holds nothing more of that session, and the outbox
//     behind it has limits. Past them pushes are dropped and replies end the
//     session.
//   - A push is counted for its session whether it is sent or dropped, and the
//     count is told in wire.Check: a client that counted fewer syncs. So a push
//     may be lost, and what it told never is.
//   - Frames of a session leave in the order in which they were added: one
//     goroutine, the flusher, writes.
//   - Events of a connection reach its session on the poller alone, one after
//     the other: its frames, then its end. Backend.Ended comes after the last
//     Submit.
//   - Every bound has a field in Options, a counter in Stats and a code.
//
// Only nbio.go knows nbio. Everything else works on the interface transport, so
// that tests put a fake in its place, and the race detector, which is blind
// inside nbio, sees the rest.
package gateway
