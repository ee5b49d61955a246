package cluster

import (
	"context"
	"crypto/sha256"
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
	// Hint sends to some sessions at once or never, and is not counted.
	Hint(to []wire.SessionID, m *wire.ServerMessage)
	// Online reports whether a user has a session here, besides one.
	Online(u parley.UserID, but wire.SessionID) bool
	// Sessions appends those of a user.
	Sessions(u parley.UserID, into []wire.SessionID) []wire.SessionID
	// Device is that of a session, false if the session has ended.
	Device(session wire.SessionID) (parley.DeviceID, bool)
	// EndDevice closes the sessions of one of a user's devices.
	EndDevice(u parley.UserID, d parley.DeviceID, code wire.CloseCode, reason string)
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
	sockets  Sockets
	verify   Verify
	opts     Options
	service  *chat.Service
	presence Presence

	watches   *watches
	farewells *farewells
	keeper    sync.WaitGroup
	closed    chan struct{} // closed by Close, once the workers have ended

	workers  sync.WaitGroup
	jobs     chan job
	searches chan struct{}   // a place for each search that may run at once
	context  context.Context // of what workers carry out: done by Close
	cancel   context.CancelFunc

	jobsMu   sync.Mutex            // guards below; never held while waiting
	queued   map[parley.UserID]int // jobs of each user in the queue
	stopping bool

	// telling keeps in order what sessions are told of users: who answers how they
	// stand shares it from the question to the answer, who tells a change holds it
	// alone. Else an answer could overtake a change that it does not know, and its
	// client would believe it. Held while the registry is asked; never by the poller
	// or the applier.
	telling sync.RWMutex

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
	r.watches, r.farewells = newWatches(opts.WatchesMax, opts.WatchedMax), newFarewells(opts.FarewellsMax)
	r.closed = make(chan struct{})
	r.context, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start gives the router its service and the registry of who is online, whose
// changes are to come to Changed, and starts the workers.
func (r *Router) Start(s *chat.Service, p Presence) {
	r.service, r.presence, r.watches.presence = s, p, p
	r.keeper.Go(r.keep)
	for range r.opts.Workers {
		r.workers.Go(r.work)
	}
}

// closeWait is how long Close leaves the workers. A search, or a queue of them,
// may read for ever.
const closeWait = time.Second

// Close answers what waits for a worker, and ends the workers. What is not done
// within a second is cut short, and what comes after refused, with
// parley.Stopping. When the devices that have gone were there last is written
// down. The service must still be open: batches that are on their way are answered
// by it. A second Close returns nil.
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
	if !again {
		close(r.closed)
	}
	r.keeper.Wait()
	return nil
}

func (r *Router) isStopping() bool {
	r.jobsMu.Lock()
	defer r.jobsMu.Unlock()
	return r.stopping
}

// Authenticate says who a token is, and what a new session of his is told; the
// sockets add their own limits. The first login of a subject makes the user; the
// device is written down, and he is online. It waits until that is durable.
func (r *Router) Authenticate(ctx context.Context, token string, d *wire.Device) (who parley.Identity, welcome *wire.Welcome, expires time.Time, err error) {
	tenant, subject, expires, err := r.verify(token)
	if err != nil {
		return parley.Identity{}, nil, time.Time{}, err
	}
	device := chat.Device{Name: d.Name, Platform: d.Platform, TokenExpires: expires}
	if expires.IsZero() { // never
		device.TokenExpires = time.Now().AddDate(100, 0, 0)
	}
	copy(device.ID[:], d.Device)
	digest := sha256.Sum256([]byte(token))
	copy(device.Token[:], digest[:])
	login, err := r.service.Login(ctx, tenant, subject, device)
	k := deviceKey{login.User, device.ID}
	if err != nil {
		if ctx.Err() != nil { // then the log may have it online, for as long as we run
			r.farewells.greet(k)
			r.farewells.leave(k, time.Now())
		}
		return parley.Identity{}, nil, time.Time{}, fmt.Errorf("login: %w", err)
	}
	r.farewells.greet(k)
	r.presence.Connect(login.User, device.ID)
	return login.Identity, &wire.Welcome{
		User: subject, Stream: uint64(login.Stream), Incarnation: uint64(login.Incarnation), BodyMax: uint32(r.opts.BodyMax),
	}, expires, nil
}

// Ended says that a session is gone, or with session 0 that none came of an
// Authenticate. Its requests are finished, and their answers go nowhere.
func (r *Router) Ended(session wire.SessionID, who parley.Identity, device parley.DeviceID) {
	r.watches.ended(session)
	r.farewells.leave(deviceKey{who.User, device}, time.Now()) // before it is told that he has gone
	r.presence.Disconnect(who.User, device)
}
