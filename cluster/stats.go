package cluster

import "sync/atomic"

type counters struct {
	requests, refused, delivered           atomic.Uint64
	overloadedSubmissions, overloadedQueue atomic.Uint64
	overloadedUsers                        atomic.Uint64
	repeats, failed, hints                 atomic.Uint64
}

// Stats tells what a router has done, and how near its limits are.
type Stats struct {
	Requests  uint64 // that came from sessions
	Refused   uint64 // those among them that were answered with an error
	Repeats   uint64 // sends of before whose receipt had to be read
	Failed    uint64 // requests that met an error without a code
	Delivered uint64 // events that somebody online was told of
	Hints     uint64 // of presence, typing and profiles; each may go to many sessions

	TypingDropped    uint64 // typing that came too often
	FarewellsDropped uint64 // ends of sessions that were not written down, at FarewellsMax

	OverloadedSubmissions uint64 // requests refused at SubmissionsMax
	OverloadedQueue       uint64 // requests refused at QueueMax
	OverloadedUsers       uint64 // requests refused at UserQueueMax
	OverloadedWatches     uint64 // requests refused at WatchesMax or WatchedMax

	Submissions, SubmissionsMax int // on their way through the log
	Queue, QueueMax             int // requests that wait for a worker
	Workers                     int
	Watches, WatchesMax         int // conversations that sessions watch
	Watched, WatchedMax         int // members of those
	Farewells, FarewellsMax     int // ends that are not yet written down
}

// Stats returns the counts so far.
func (r *Router) Stats() Stats {
	r.poolMu.Lock()
	live := r.live
	r.poolMu.Unlock()
	c := &r.counters
	pairs, members := r.watches.levels()
	return Stats{
		Requests: c.requests.Load(), Refused: c.refused.Load(), Repeats: c.repeats.Load(),
		Failed: c.failed.Load(), Delivered: c.delivered.Load(),
		OverloadedSubmissions: c.overloadedSubmissions.Load(), OverloadedQueue: c.overloadedQueue.Load(),
		OverloadedUsers: c.overloadedUsers.Load(),
		Submissions:     live, SubmissionsMax: r.opts.SubmissionsMax,
		Queue: len(r.jobs), QueueMax: r.opts.QueueMax, Workers: r.opts.Workers,
		Hints: c.hints.Load(), TypingDropped: r.watches.slow.Load(), FarewellsDropped: r.farewells.dropped.Load(),
		OverloadedWatches: r.watches.refused.Load(),
		Watches:           pairs, WatchesMax: r.opts.WatchesMax, Watched: members, WatchedMax: r.opts.WatchedMax,
		Farewells: r.farewells.len(), FarewellsMax: r.opts.FarewellsMax,
	}
}
