// Package node makes one server process of the packages below it, and owns the
// order in which they start and stop.
//
//	n, err := node.Open(node.Config{Data: "data", Listen: "127.0.0.1:8080", Dev: true})
//	fmt.Println("listening on", n.URL())
//	err = n.Run(ctx) // until ctx ends, or the store fails
//
// One port serves the WebSocket (/ws), health (/healthz, /readyz) and the page
// at /. Metrics and profiles have a port of their own, which is off unless it is
// asked for.
//
// Starting goes up the layers: the store is replayed before a socket is open.
// Stopping goes down: no new connections, then every session is answered and
// told when to come again, then the workers end, then the store is flushed and
// its folder unlocked. A store that has failed is not flushed: the log has it
// all, and the next start takes it up.
package node
