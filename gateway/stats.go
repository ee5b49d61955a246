package gateway

import "sync/atomic"

// Stats are counters since Start, and levels of now.
type Stats struct {
	Sessions    int   // now
	OutboxBytes int64 // now: what waits for all sessions, here and in the poller

	Opened uint64 // sessions
	Ended  uint64 // sessions

	Requests uint64 // that the backend was given

	// Frames are the replies, pushes and other messages that were written,
	// Writes how often. Frames per write decides what a frame costs.
	Frames uint64
	Writes uint64
	Bytes  uint64 // in those writes

	Pushes        uint64 // one for each session that a push was meant for
	PushesDropped uint64 // of those, because an outbox or all of them were full

	Hints        uint64 // written, one for each session
	HintsDropped uint64 // because an outbox or all of them were full

	Refused Refused
	Panics  uint64 // in the handling of a connection, which was closed for it
}

// Refused counts what met a bound, by the bound.
type Refused struct {
	Handshakes     uint64 // malformed, of a strange origin, or with a token that did not pass
	Authenticating uint64 // handshakes past HandshakesMax
	Sessions       uint64 // handshakes past SessionsMax
	UserSessions   uint64 // handshakes past UserSessionsMax
	Stopping       uint64 // handshakes while draining, and requests then

	Frames   uint64 // sessions closed for a frame that RFC 6455 or FrameMax forbids
	Messages uint64 // sessions closed for a payload that is no row of requests
	Requests uint64 // requests past RequestsMax
	Rate     uint64 // requests past RequestsPerSecond
	Floods   uint64 // sessions closed for going on past it

	SlowReplies uint64 // sessions closed for ReplyBytesMax
	SlowReads   uint64 // sessions closed for SlowAfter
	Dead        uint64 // sessions closed for two missed heartbeats
	Expired     uint64 // sessions closed because their token expired
	Replaced    uint64 // sessions closed because another one uses their stream
	Revoked     uint64 // sessions closed, and handshakes refused, by EndDevice
	Outboxes    uint64 // pushes dropped for PushBytesMax
	Memory      uint64 // pushes dropped for OutboxBytesMax
}

// counters are the counting side of Stats.
type counters struct {
	opened, ended          atomic.Uint64
	requests               atomic.Uint64
	frames, writes, bytes  atomic.Uint64
	pushes                 atomic.Uint64
	panics                 atomic.Uint64
	outboxBytes            atomic.Int64
	handshakes             atomic.Uint64
	authenticating         atomic.Uint64
	sessions, userSessions atomic.Uint64
	stopping               atomic.Uint64
	badFrames, badMessages atomic.Uint64
	tooManyRequests        atomic.Uint64
	rate, floods           atomic.Uint64
	slowReplies, slowReads atomic.Uint64
	dead, expired          atomic.Uint64
	replaced, revoked      atomic.Uint64
	hints, hintsDropped    atomic.Uint64
	outboxes, memory       atomic.Uint64
}

// wrote counts one write.
func (c *counters) wrote(frames, bytes int) {
	c.writes.Add(1)
	c.frames.Add(uint64(frames))
	c.bytes.Add(uint64(bytes))
}

// Stats is a look at the counters, each read for itself.
func (s *Server) Stats() Stats {
	c := &s.counters
	outboxes, memory := c.outboxes.Load(), c.memory.Load()
	return Stats{
		Sessions:    s.registry.len(),
		OutboxBytes: c.outboxBytes.Load(),
		Opened:      c.opened.Load(), Ended: c.ended.Load(),
		Requests: c.requests.Load(),
		Frames:   c.frames.Load(), Writes: c.writes.Load(), Bytes: c.bytes.Load(),
		Pushes: c.pushes.Load(), PushesDropped: outboxes + memory,
		Hints: c.hints.Load(), HintsDropped: c.hintsDropped.Load(),
		Panics: c.panics.Load(),
		Refused: Refused{
			Handshakes: c.handshakes.Load(), Authenticating: c.authenticating.Load(),
			Sessions: c.sessions.Load(), UserSessions: c.userSessions.Load(),
			Stopping: c.stopping.Load(),
			Frames:   c.badFrames.Load(), Messages: c.badMessages.Load(),
			Requests: c.tooManyRequests.Load(), Rate: c.rate.Load(), Floods: c.floods.Load(),
			SlowReplies: c.slowReplies.Load(), SlowReads: c.slowReads.Load(),
			Dead: c.dead.Load(), Expired: c.expired.Load(), Replaced: c.replaced.Load(), Revoked: c.revoked.Load(),
			Outboxes: outboxes, Memory: memory,
		},
	}
}
