package presence

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/parleychat/parley"
)

const (
	defaultPrefix   = "parley:presence:"
	defaultLease    = time.Minute
	defaultTimeout  = 250 * time.Millisecond
	defaultQueueMax = 1 << 16
	defaultCache    = 32 << 20
	gatewayMax      = 64
)

// RedisOptions are those of a registry on a Redis Cluster. Gateway and Addresses
// have to be set; the rest is right for production as it is.
type RedisOptions struct {
	Options

	// Addresses are some of the cluster's nodes, as host:port. The others are
	// found through them.
	Addresses []string

	// Username and Password are those of the cluster, empty for none.
	Username, Password string

	// TLS encrypts the connections. Nil: they are plain.
	TLS *tls.Config

	// Gateway names this process among those that run: at most 64 bytes, no
	// braces, no spaces. A process that starts under the name of a dead one takes
	// its lease over, and the dead one's users are offline at once.
	Gateway string

	// Prefix begins every key, so that installations can share a cluster. Default
	// "parley:presence:".
	Prefix string

	// Lease is how long the users of a killed process stay online. Longer forgives
	// longer pauses of this process and of Redis. Default 60 s.
	Lease time.Duration

	// Heartbeat is how often the lease is renewed, at most half of it. Default
	// half of it.
	Heartbeat time.Duration

	// Timeout is how long a look-up may take before the answer is degraded.
	// Default 250 ms.
	Timeout time.Duration

	// QueueMax bounds the writes that wait, at about 100 bytes each. Past it
	// everything is written anew once Redis can be reached. Default 65,536.
	QueueMax int

	// CacheBytes bounds the cache of look-ups, for each node of the cluster.
	// Default 32 MiB.
	CacheBytes int
}

// Redis is a Registry for the processes that share a Redis Cluster.
//
// Two goroutines serve it. The keeper holds the lease and writes; the watcher
// looks after those who are watched. Online asks for itself.
type Redis struct {
	// Fixed when opened.
	options RedisOptions
	names   names
	retry   time.Duration // between attempts, while Redis is away
	tick    time.Duration // between looks at the leases of others

	sessions sessions
	watches  *watches
	queue    *queue
	voids    *voids

	client        atomic.Pointer[rueidis.Client] // nil until Redis was reached once
	epochs        atomic.Pointer[[]epoch]        // ours, newest first; the keeper sets it
	degradedSince atomic.Int64                   // ns since 1970, 0 while all is well
	leasesChanged atomic.Bool                    // some lease of others was written
	trouble       chan struct{}                  // holds one: beat soon
	superseded    atomic.Bool
	counters      counters

	closed atomic.Bool
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type counters struct {
	rewrites, written, lookups, cacheHits, beats, beatsMissed, degraded atomic.Uint64
}

var _ Registry = (*Redis)(nil)

// OpenRedis makes a registry on a Redis Cluster. It waits until the cluster was
// reached, or could not be reached, which is no error: the registry is degraded
// then, says so in the log and goes on trying. It returns an error for options
// that cannot be used, and that of a context that ended first.
func OpenRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Redis{
		options: options,
		names:   names{options.Prefix},
		retry:   min(max(options.Heartbeat/15, 50*time.Millisecond), 2*time.Second),
		tick:    max(options.Lease/ticksPerLease, 50*time.Millisecond),
		watches: newWatches(),
		queue:   newQueue(options.QueueMax),
		voids:   newVoids(),
		trouble: make(chan struct{}, 1),
	}
	r.epochs.Store(&[]epoch{newEpoch()})
	r.ctx, r.cancel = context.WithCancel(context.Background())
	k := &keeper{Redis: r, first: make(chan struct{})}
	w := &watcher{Redis: r, seen: make(map[string]string)}
	r.wg.Go(k.run)
	r.wg.Go(w.run)
	select {
	case <-k.first:
		return r, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), r.Close())
	}
}

func (o RedisOptions) withDefaults() (RedisOptions, error) {
	o.Options = o.Options.withDefaults()
	o.Lease = orDefault(o.Lease, defaultLease)
	o.Heartbeat = orDefault(o.Heartbeat, o.Lease/2)
	o.Timeout = orDefault(o.Timeout, defaultTimeout)
	o.QueueMax = orDefault(o.QueueMax, defaultQueueMax)
	o.CacheBytes = orDefault(o.CacheBytes, defaultCache)
	o.Prefix = orDefault(o.Prefix, defaultPrefix)
	switch {
	case len(o.Addresses) == 0:
		return o, errors.New("presence: no address of a Redis Cluster")
	case o.Gateway == "" || len(o.Gateway) > gatewayMax || strings.ContainsAny(o.Gateway, "{} \t\r\n"):
		return o, fmt.Errorf("presence: gateway name %.80q: it needs 1 to %d bytes without braces and spaces", o.Gateway, gatewayMax)
	case strings.ContainsAny(o.Prefix, "{}"):
		return o, fmt.Errorf("presence: prefix %q: braces are for the keys", o.Prefix)
	case o.Heartbeat < 0 || o.Heartbeat > o.Lease/2:
		return o, fmt.Errorf("presence: heartbeat %v: it must be at most half of the lease of %v", o.Heartbeat, o.Lease)
	case o.Timeout < 0 || o.QueueMax < 0 || o.CacheBytes < 0:
		return o, errors.New("presence: a negative bound")
	}
	return o, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func newEpoch() epoch {
	var b [epochLen / 2]byte
	rand.Read(b[:]) // never fails
	return epoch(hex.EncodeToString(b[:]))
}

// dial makes the client. It needs one of the nodes to answer.
func (r *Redis) dial() (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress:         r.options.Addresses,
		Username:            r.options.Username,
		Password:            r.options.Password,
		TLSConfig:           r.options.TLS,
		CacheSizeEachConn:   r.options.CacheBytes,
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		ConnWriteTimeout:    2 * time.Second,
		OnInvalidations:     r.invalidated,
	}
	o.Dialer.Timeout = time.Second
	o.Dialer.KeepAlive = 5 * time.Second
	o.ClusterOption.ShardsRefreshInterval = r.options.Heartbeat // masters come and go
	return rueidis.NewClient(o)
}

// invalidated hears which keys changed that this process has read; nil says that a
// connection was lost, and with it word of everything read through it.
func (r *Redis) invalidated(keys []rueidis.RedisMessage) {
	if keys == nil {
		r.watches.touchIf(func(parley.UserID, []claim) bool { return true })
		r.leasesChanged.Store(true)
		r.beatSoon()
		return
	}
	for i := range keys {
		key, err := keys[i].ToString()
		if err != nil {
			continue
		}
		if u, ok := r.names.parseUser(key); ok {
			r.watches.touch(u)
		} else if r.names.isLease(key) {
			r.leasesChanged.Store(true)
			r.watches.signal()
		}
	}
}

// Connect is described at Registry.
func (r *Redis) Connect(u parley.UserID, d parley.DeviceID) {
	if r.closed.Load() {
		return
	}
	k := deviceKey{u, d}
	device, user := r.sessions.connect(k)
	r.changed(k, device, user)
}

// Disconnect is described at Registry.
func (r *Redis) Disconnect(u parley.UserID, d parley.DeviceID) {
	if r.closed.Load() {
		return
	}
	k := deviceKey{u, d}
	device, user := r.sessions.disconnect(k)
	r.changed(k, device, user)
}

func (r *Redis) changed(k deviceKey, device, user bool) {
	if device && !r.queue.put(k) {
		r.beatSoon()
	}
	if user {
		r.watches.touch(k.user)
	}
}

// Online is described at Registry.
func (r *Redis) Online(ctx context.Context, users []parley.UserID, into []bool) error {
	if err := checkUsers(users); err != nil {
		return err
	}
	if r.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	elsewhere := make([]parley.UserID, 0, len(users))
	for i, u := range users {
		if into[i] = r.sessions.online(u); !into[i] {
			elsewhere = append(elsewhere, u)
		}
	}
	err := r.onlineElsewhere(ctx, elsewhere, users, into)
	if err == nil || errors.Is(err, ErrDegraded) {
		r.watches.answered(users, into)
	}
	return err
}

// onlineElsewhere completes what is known here.
func (r *Redis) onlineElsewhere(ctx context.Context, elsewhere, users []parley.UserID, into []bool) error {
	if len(elsewhere) == 0 {
		return nil
	}
	if r.isDegraded() {
		r.counters.degraded.Add(1)
		return ErrDegraded
	}
	found, err := r.lookUpWithin(ctx, elsewhere)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	next := 0
	for i := range users {
		if !into[i] && found != nil {
			into[i] = found[next].online
			next++
		}
	}
	if err != nil {
		r.lost(err)
		r.counters.degraded.Add(1)
		return ErrDegraded
	}
	return nil
}

// lookUpWithin looks up and waits for Timeout, or for the context if that is
// shorter. The client does the same, but for one case: who finds another opening a
// connection waits until that one gives up.
func (r *Redis) lookUpWithin(ctx context.Context, users []parley.UserID) ([]standing, error) {
	type answer struct {
		found []standing
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		found := make([]standing, len(users))
		err := r.lookUp(ctx, users, found, nil)
		answers <- answer{found, err}
	}()
	select {
	case a := <-answers:
		return a.found, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Watch is described at Registry.
func (r *Redis) Watch(users []parley.UserID) {
	if !r.closed.Load() {
		r.watches.add(users)
	}
}

// Unwatch is described at Registry.
func (r *Redis) Unwatch(users []parley.UserID) { r.watches.remove(users) }

// Stats is described at Registry.
func (r *Redis) Stats() Stats {
	s := Stats{
		Users:       int(r.sessions.users.Load()),
		Watched:     r.watches.count(),
		QueueMax:    r.options.QueueMax,
		Rewrites:    r.counters.rewrites.Load(),
		Written:     r.counters.written.Load(),
		Lookups:     r.counters.lookups.Load(),
		CacheHits:   r.counters.cacheHits.Load(),
		Beats:       r.counters.beats.Load(),
		BeatsMissed: r.counters.beatsMissed.Load(),
		Degraded:    r.counters.degraded.Load(),
		Superseded:  r.superseded.Load(),
	}
	s.Queue, s.Dropped = r.queue.length()
	s.Void, s.VoidDropped = r.voids.counts()
	if ns := r.degradedSince.Load(); ns != 0 {
		s.DegradedSince = time.Unix(0, ns)
	}
	return s
}

// Close is described at Registry. It returns nil: a lease that cannot be given
// back ends by itself.
func (r *Redis) Close() error {
	if !r.closed.Swap(true) {
		r.cancel()
	}
	r.wg.Wait()
	if c := r.client.Swap(nil); c != nil {
		(*c).Close()
	}
	return nil
}

func (r *Redis) isDegraded() bool { return r.degradedSince.Load() != 0 }

// lost notes that Redis could not be reached. Until the keeper has reached it
// again nobody else tries.
func (r *Redis) lost(err error) {
	if r.degradedSince.CompareAndSwap(0, time.Now().UnixNano()) && !r.closed.Load() {
		r.options.Logger.Warn("presence is degraded: Redis cannot be reached", "error", err)
	}
	r.beatSoon()
}

// regained notes that it could.
func (r *Redis) regained() {
	since := r.degradedSince.Swap(0)
	if since == 0 {
		return
	}
	r.options.Logger.Info("presence is whole again", "after", time.Since(time.Unix(0, since)).Round(time.Millisecond))
	r.leasesChanged.Store(true)
	r.watches.touchIf(func(parley.UserID, []claim) bool { return true })
	r.watches.signal()
}

func (r *Redis) beatSoon() {
	select {
	case r.trouble <- struct{}{}:
	default:
	}
}
