// Package cluster knows which node owns a conversation and which nodes hold a
// user's sockets, and carries calls there. One machine is a cluster of one: the
// owner is always here, and so are the sockets.
//
// A Router stands between the sockets and the rules. It is what a gateway calls
// with the requests of its sessions, and what chat calls with what was applied.
//
//	router := cluster.New(sockets, verify, cluster.Options{})
//	service, err := chat.Open(fs, dir, chat.Options{Deliverer: router})
//	router.Start(service, registry) // a presence.Registry, or another Presence
//	// … sockets call Authenticate, Submit and Ended; chat calls Deliver …
//	router.Close()  // after the sockets, before the service
//
// Two ways lead through it:
//
//   - Sends and acknowledgements are the traffic. What one read of a socket
//     brought goes to the log as one batch, without a goroutine or an
//     allocation, and is answered by the applier once it is durable and applied.
//   - Everything that may wait for a disk or for the log goes to a fixed number
//     of workers behind a bounded queue.
//
// Beside messages it knows what is live alone: which conversations sessions have
// open on the screen, so that they hear who comes, goes and types there. Whether
// somebody may hear it is judged each time, not when he began to watch. And it has
// the log know when devices were there last.
//
// Invariants:
//
//   - Every request is answered exactly once, also when it is refused and when
//     the engine has ended.
//   - Nothing is answered as done before it is durable and applied.
//   - Submit and Deliver never wait, and keep nothing of what they are given.
//   - Submissions, the queue, the workers and what is watched have limits; past
//     them a request is refused with parley.Overloaded.
package cluster
