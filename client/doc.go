// Package client is the Go SDK of Parley.
//
// A Client is one user's device: drafts go into an outbox that survives, the
// connection comes back by itself, and what the device holds of each
// conversation is without a gap, or says where the gap is.
//
//	store, err := client.OpenFileStore("ann.db")
//	c, err := client.Open(client.Options{URL: "ws://127.0.0.1:8080/ws", Token: token, Store: store})
//	room, err := c.CreateDirect(ctx, "bob")
//	draft, err := c.SendText(room.ID, "hello") // durable on this device
//	for e := range c.Events(ctx) {
//		switch e := e.(type) {
//		case client.Received: // messages, in order
//		case client.Changed: // unread counts, ticks, titles
//		case client.DraftChanged: // sent, or refused
//		}
//	}
//
// A Conn is one connection: the protocol and nothing else. It is for tools that
// measure or probe.
//
// Promises of a Client:
//
//   - A draft that Send returned is sent once, in its place among the drafts of
//     its conversation, across crashes and reconnections; or it fails, with its
//     reason. Nothing is dropped without a word.
//   - Received brings the messages of a conversation in their order. What is left
//     out is named as a Hole.
//   - Delivered is acknowledged only for what is durable on the device, up to the
//     first gap.
//   - A tick or a watermark never falls, but when the server was restored from an
//     older copy; then nothing of the lost time is shown as if it were there.
//   - A session whose token ends is left in good order for one with the next.
//   - What was acknowledged to the user and was lost in a restore comes back as
//     a failed draft, to be sent again.
//
// How it works: outbox.go tells how order is kept when a draft of a pipeline is
// refused, conversation.go how states, messages and marks fit together in any
// order, renew.go how a session is left, restore.go what happens when the server goes back in time. To write an
// app, read docs/CLIENT.md.
package client
