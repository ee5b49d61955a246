package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// Sockets are the sessions of this node. No method waits for a socket, and each
// has encoded a message when it returns.
type Sockets interface {
	// Reply answers one request of a session. Nil answers a request that wants
	// no answer.
	Reply(session wire.SessionID, m *wire.ServerMessage)
	// Push sends to every session of the users but one. No session has the id 0.
	Push(to []parley.UserID, but wire.SessionID, m *wire.ServerMessage)
	// Online reports whether a user has a session here, besides one.
	Online(u parley.UserID, but wire.SessionID) bool
	// Flush ends a batch of replies and pushes: they leave now.
	Flush()
}

// Verify says whose a token is: the user's subject inside a tenant, until when.
// Its error matches parley.BadToken when the token is no good.
type Verify func(token string) (tenant parley.TenantID, subject string, expires time.Time, err error)

// Router carries requests to the owner of their conversation, and what was
// applied to the sockets of those whom it concerns.
type Router struct {
	// Fixed by New and Start.
	sockets Sockets
	verify  Verify
	opts    Options
	service *chat.Service

	workers  sync.WaitGroup
	jobs     chan job
	searches chan struct{}   // a place for each search that may run at once
	context  context.Context // of what workers carry out: done by Close
	cancel   context.CancelFunc

	jobsMu   sync.Mutex            // guards below; never held while waiting
	queued   map[parley.UserID]int // jobs of each user in the queue
	stopping bool

	poolMu sync.Mutex // guards below
	free   []*submission
	live   int // submissions on their way

	delivery delivery // owned by the applier

	counters counters
	logged   atomic.Int64 // when a failure was logged last, Unix seconds
}

// New makes a router for the sockets of a node. It carries nothing before
// Start.
func New(sockets Sockets, verify Verify, opts Options) *Router {
	opts = opts.withDefaults()
	r := &Router{
		sockets: sockets, verify: verify, opts: opts,
		queued: make(map[parley.UserID]int), jobs: make(chan job, opts.QueueMax), searches: make(chan struct{}, max(opts.Workers/4, 1)),
	}
	r.context, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start gives the router its service, and starts the workers.
func (r *Router) Start(s *chat.Service) {
	r.service = s
	for range r.opts.Workers {
		r.workers.Go(r.work)
	}
}

// closeWait is how long Close leaves the workers. A search, or a queue of them,
// may read for ever.
const closeWait = time.Second

// Close answers what waits for a worker, and ends the workers. What is not done
// within a second is cut short, and what comes after refused, with
// parley.Stopping. The service must still be open: batches that are on their way
// are answered by it. A second Close returns nil.
func (r *Router) Close() error {
	r.jobsMu.Lock()
	again := r.stopping
	r.stopping = true
	if !again {
		close(r.jobs)
	}
	r.jobsMu.Unlock()
	defer r.cancel()
	defer time.AfterFunc(closeWait, r.cancel).Stop()
	r.workers.Wait()
	return nil
}

func (r *Router) isStopping() bool {
	r.jobsMu.Lock()
	defer r.jobsMu.Unlock()
	return r.stopping
}

// Authenticate says who a token is, and what a new session of his is told; the
// sockets add their own limits. The first login of a subject makes the user, and
// waits until he is durable.
func (r *Router) Authenticate(ctx context.Context, token string, _ *wire.Device) (who parley.Identity, welcome *wire.Welcome, expires time.Time, err error) {
	tenant, subject, expires, err := r.verify(token)
	if err != nil {
		return parley.Identity{}, nil, time.Time{}, err
	}
	login, err := r.service.Login(ctx, tenant, subject, chat.Device{})
	if err != nil {
		return parley.Identity{}, nil, time.Time{}, fmt.Errorf("login: %w", err)
	}
	return login.Identity, &wire.Welcome{
		User: subject, Stream: uint64(login.Stream), Incarnation: uint64(login.Incarnation), BodyMax: uint32(r.opts.BodyMax),
	}, expires, nil
}

// Ended says that a session is gone. On one node nothing is kept for it: its
// requests are finished, and their answers go nowhere.
func (r *Router) Ended(wire.SessionID, parley.Identity, parley.DeviceID) {}
