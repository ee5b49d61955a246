// Package presence knows who is online.
//
// A Registry counts the sessions of this process and answers for all processes:
// NewMemory where there is one, OpenRedis where several share a Redis Cluster.
// The two behave alike; one suite of tests runs over both.
//
//	registry := presence.NewMemory(presence.Options{Changed: tell})
//	registry.Connect(ann, phone)
//	registry.Watch([]parley.UserID{bob}) // tell hears of him from now on
//	online := make([]bool, 1)
//	err := registry.Online(ctx, []parley.UserID{bob}, online)
//
// Invariants:
//
//   - Connect, Disconnect, Watch and Unwatch take a lock for a moment and never
//     wait for Redis, for a queue or for Changed.
//   - A user with a session in this process is online, whatever Redis says.
//   - A user is online through a process only while that process holds its
//     lease. One that was killed shows its users offline when the lease ends,
//     by itself.
//   - What waits is bounded, and what was beyond a bound is counted in Stats and
//     made good by writing everything anew.
//
// Presence is a hint. Nothing that the server promises of messages rests on it,
// and the package knows nothing of conversations, privacy or last seen: package
// chat keeps the last, and whoever calls decides who may ask. The keys in Redis
// are drawn in keys.go; docs/PRESENCE.md tells the whole.
package presence
