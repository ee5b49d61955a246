package cluster

import "sync/atomic"

type counters struct {
	requests, refused, delivered           atomic.Uint64
	overloadedSubmissions, overloadedQueue atomic.Uint64
	overloadedUsers                        atomic.Uint64
	repeats, failed                        atomic.Uint64
}

// Stats tells what a router has done, and how near its limits are.
type Stats struct {
	Requests  uint64 // that came from sessions
	Refused   uint64 // those among them that were answered with an error
	Repeats   uint64 // sends of before whose receipt had to be read
	Failed    uint64 // requests that met an error without a code
	Delivered uint64 // events that somebody online was told of

	OverloadedSubmissions uint64 // requests refused at SubmissionsMax
	OverloadedQueue       uint64 // requests refused at QueueMax
	OverloadedUsers       uint64 // requests refused at UserQueueMax

	Submissions, SubmissionsMax int // on their way through the log
	Queue, QueueMax             int // requests that wait for a worker
	Workers                     int
}

// Stats returns the counts so far.
func (r *Router) Stats() Stats {
	r.poolMu.Lock()
	live := r.live
	r.poolMu.Unlock()
	c := &r.counters
	return Stats{
		Requests: c.requests.Load(), Refused: c.refused.Load(), Repeats: c.repeats.Load(),
		Failed: c.failed.Load(), Delivered: c.delivered.Load(),
		OverloadedSubmissions: c.overloadedSubmissions.Load(), OverloadedQueue: c.overloadedQueue.Load(),
		OverloadedUsers: c.overloadedUsers.Load(),
		Submissions:     live, SubmissionsMax: r.opts.SubmissionsMax,
		Queue: len(r.jobs), QueueMax: r.opts.QueueMax, Workers: r.opts.Workers,
	}
}
