package gateway

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Server holds the sockets of one process.
type Server struct {
	options  Options
	registry *registry
	flusher  *flusher
	heart    *heart
	shutOut  shutOut
	counters counters

	authenticating chan struct{} // a place for each of HandshakesMax

	// Set by Start.
	backend Backend
	poller  *poller
	context context.Context // done by Close
	cancel  context.CancelFunc
	loops   sync.WaitGroup

	// Owned by the poller.
	decoder wire.RequestDecoder

	draining  atomic.Bool
	closed    atomic.Bool
	panicOnce sync.Once

	mu         sync.Mutex // guards handshakes against Close
	handshakes sync.WaitGroup
}

// New makes a gateway that does nothing before Start.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		options:        o,
		registry:       newRegistry(o.SessionsMax, o.UserSessionsMax),
		flusher:        newFlusher(),
		authenticating: make(chan struct{}, o.HandshakesMax),
	}
	s.heart = newHeart(s)
	s.context, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start begins to serve a backend. It is called once, before the first request
// comes to ServeHTTP.
func (s *Server) Start(b Backend) error {
	p, err := openPoller(s)
	if err != nil {
		return err
	}
	s.poller = p
	s.start(b)
	return nil
}

// start starts everything but the poller.
func (s *Server) start(b Backend) {
	s.backend = b
	s.loops.Go(func() { s.flusher.run(s.context.Done()) })
	s.loops.Go(func() { s.heart.run(s.context.Done()) })
}

// admit makes a session of an authenticated handshake. Pushes reach it from now
// on.
func (s *Server) admit(who parley.Identity, device parley.DeviceID, p wire.Subprotocol, expires time.Time) (*session, error) {
	c := &session{
		server: s, who: who, device: device, protocol: p, expires: expires,
		frames:  wire.Reassembler{Server: true, Limit: s.options.FrameMax},
		limiter: rate.NewLimiter(rate.Limit(s.options.RequestsPerSecond), s.options.burst()),
	}
	if err := s.registry.admit(c); err != nil {
		return nil, err
	}
	s.counters.opened.Add(1)
	return c, nil
}

// panicked counts a panic and logs the first.
func (s *Server) panicked(v any) {
	s.counters.panics.Add(1)
	s.panicOnce.Do(func() {
		s.options.Logger.Error("panic on a connection, which was closed; later ones are only counted",
			"panic", v, "stack", string(debug.Stack()))
	})
}

// Close ends all sessions and stops. Drain before it is the polite way. A second
// Close returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	again := s.closed.Swap(true)
	s.draining.Store(true)
	s.mu.Unlock()
	if again {
		return nil
	}
	s.cancel()
	s.handshakes.Wait()
	s.loops.Wait()
	for c := range s.registry.all() {
		c.end(wire.CloseGoingAway, "the server stops")
	}
	for list := s.flusher.take(nil); len(list) > 0; list = s.flusher.take(nil) {
		writeAll(list)
	}
	if s.poller != nil {
		s.poller.stop()
	}
	return nil
}
