package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/parleychat/parley/wire"
)

// Reconnects after a drain are spread so that about one a millisecond comes to
// the node that takes over, and the first not before it has begun.
const (
	reconnectsPerSecond = 1000
	reconnectAfter      = 500 * time.Millisecond
)

// drainPoll is how often Drain looks who is done.
const drainPoll = 5 * time.Millisecond

// Drain ends all sessions in good order. New handshakes and new requests are
// refused; every client is told when to come again; a session is closed once the
// answers of all its requests have left, and when ctx is done. Then Drain
// returns its error, with sessions left for Close. Nothing that was submitted
// is unanswered if it returns nil.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.sayGoingAway()
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for s.registry.len() > 0 {
		for c := range s.registry.all() {
			if c.idle() {
				c.end(wire.CloseGoingAway, "")
			}
		}
		s.Flush()
		select {
		case <-poll.C:
		case <-ctx.Done():
			s.endAll()
			return ctx.Err()
		}
	}
	return nil
}

func (s *Server) sayGoingAway() {
	spread := time.Duration(s.registry.len()) * time.Second / reconnectsPerSecond
	for c := range s.registry.all() {
		delay := reconnectAfter + rand.N(spread+time.Millisecond)
		c.answer(&wire.ServerMessage{GoingAway: &wire.GoingAway{RetryAfterMs: uint32(delay.Milliseconds())}})
	}
	s.Flush()
}

func (s *Server) endAll() {
	for c := range s.registry.all() {
		c.end(wire.CloseGoingAway, "")
	}
	s.Flush()
}
