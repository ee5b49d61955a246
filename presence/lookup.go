package presence

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/redis/rueidis"

	"github.com/parleychat/parley"
)

// errNoClient reports that Redis was never reached.
var errNoClient = errors.New("no connection yet")

// standing is what Redis says of a user.
type standing struct {
	claims []claim
	online bool // some claim but our own is good
}

// lookUp asks how users stand, from the cache where that knows. It fills what it
// can and returns the first error. Leases that it read go to noteLease, if there
// is one; entries that are void are left for the keeper to remove.
func (r *Redis) lookUp(ctx context.Context, users []parley.UserID, into []standing, noteLease func(string, lease)) error {
	err := r.readClaims(ctx, users, into)
	var gateways []string
	for i := range into {
		for _, c := range into[i].claims {
			if !slices.Contains(gateways, c.gateway) {
				gateways = append(gateways, c.gateway)
			}
		}
	}
	leases, leaseErr := r.readLeases(ctx, gateways)
	if noteLease != nil {
		for g, l := range leases {
			noteLease(g, l)
		}
	}
	own := *r.epochs.Load()
	for i, u := range users {
		for _, c := range into[i].claims {
			l, read := leases[c.gateway]
			switch {
			case !read:
			case c.gateway == r.options.Gateway && slices.Contains(own, c.epoch):
				// Our own entry, of somebody who has no session here any more, or not
				// yet: our own count says it better.
			case l.names(c.epoch):
				into[i].online = true
			default:
				r.voids.put(void{u, c})
			}
		}
	}
	return errors.Join(err, leaseErr)
}

// readClaims reads the users' entries. Keys of a user need no expiry of their own
// in the cache: they live much longer than it keeps them.
func (r *Redis) readClaims(ctx context.Context, users []parley.UserID, into []standing) error {
	client := r.client.Load()
	if client == nil {
		return errNoClient
	}
	asked := make([]rueidis.CacheableTTL, len(users))
	for i, u := range users {
		asked[i] = rueidis.CT((*client).B().Hgetall().Key(r.names.user(u)).Cache().ToStaticTTL(), r.options.Lease)
	}
	var failed error
	hits := uint64(0)
	for i, answer := range (*client).DoMultiCache(ctx, asked...) {
		entries, err := answer.AsStrMap()
		if err != nil {
			failed = err
			continue
		}
		if answer.IsCacheHit() {
			hits++
		}
		for field, gateway := range entries {
			if c, ok := parseClaim(field, gateway); ok {
				into[i].claims = append(into[i].claims, c)
			}
		}
	}
	r.counters.lookups.Add(uint64(len(users)))
	r.counters.cacheHits.Add(hits)
	return failed
}

// readLeases reads the leases of gateways. The cache keeps each until it would
// end, or is renewed.
func (r *Redis) readLeases(ctx context.Context, gateways []string) (map[string]lease, error) {
	leases := make(map[string]lease, len(gateways))
	if len(gateways) == 0 {
		return leases, nil
	}
	client := r.client.Load()
	if client == nil {
		return leases, errNoClient
	}
	asked := make([]rueidis.CacheableTTL, len(gateways))
	for i, g := range gateways {
		asked[i] = rueidis.CT((*client).B().Get().Key(r.names.lease(g)).Cache(), r.options.Lease)
	}
	var failed error
	for i, answer := range (*client).DoMultiCache(ctx, asked...) {
		value, err := answer.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			failed = err
			continue
		}
		leases[gateways[i]] = lease(value)
	}
	return leases, failed
}

// void is an entry whose process is gone, or seemed so.
type void struct {
	user  parley.UserID
	claim claim
}

// voidsMax bounds the void entries that wait for their removal. Those beyond are
// found again.
const voidsMax = 4096

// voids are entries to be removed.
type voids struct {
	wake chan struct{} // holds one

	mu               sync.Mutex // guards below
	waiting          map[void]struct{}
	removed, dropped uint64
}

func newVoids() *voids {
	return &voids{wake: make(chan struct{}, 1), waiting: make(map[void]struct{})}
}

func (v *voids) put(one void) {
	v.mu.Lock()
	if _, waits := v.waiting[one]; !waits && len(v.waiting) >= voidsMax {
		v.dropped++
	} else {
		v.waiting[one] = struct{}{}
	}
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *voids) take(list []void, limit int) []void {
	v.mu.Lock()
	defer v.mu.Unlock()
	for one := range v.waiting {
		if len(list) == limit {
			break
		}
		list = append(list, one)
		delete(v.waiting, one)
	}
	return list
}

func (v *voids) count(removed int) {
	v.mu.Lock()
	v.removed += uint64(removed)
	v.mu.Unlock()
}

func (v *voids) counts() (removed, dropped uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.removed, v.dropped
}
