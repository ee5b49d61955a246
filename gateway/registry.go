package gateway

import (
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Errors of admit.
var (
	errSessions     = errors.New("gateway: too many sessions")
	errUserSessions = errors.New("gateway: too many sessions of one user")
)

// registry knows the sessions by their id and by their user.
//
// An id is a place in the table below a serial number, so that a reply finds its
// session by one load, and one that comes too late finds nobody: the place may
// be taken again, the id is not.
type registry struct {
	userMax int
	places  []atomic.Pointer[session]

	mu     sync.Mutex // guards below
	free   []uint32   // places
	serial uint32

	users [userShards]userShard
}

const userShards = 64

// userShard holds the sessions of some users. The slices are never changed, so
// a push goes through one without the lock.
type userShard struct {
	mu       sync.RWMutex
	sessions map[parley.UserID][]*session
}

func newRegistry(sessionsMax, userMax int) *registry {
	r := &registry{userMax: userMax, places: make([]atomic.Pointer[session], sessionsMax)}
	for i := range sessionsMax {
		r.free = append(r.free, uint32(sessionsMax-1-i))
	}
	for i := range r.users {
		r.users[i].sessions = make(map[parley.UserID][]*session)
	}
	return r
}

// admit gives a session its id and its place among those of its user.
func (r *registry) admit(c *session) error {
	r.mu.Lock()
	if len(r.free) == 0 {
		r.mu.Unlock()
		return errSessions
	}
	place := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.serial = max(r.serial+1, 1) // after 2^32 of them, again from 1
	c.id = wire.SessionID(r.serial)<<32 | wire.SessionID(place)
	r.mu.Unlock()

	if !r.join(c) {
		r.release(place)
		return errUserSessions
	}
	r.places[place].Store(c)
	return nil
}

// find is the session of an id, or nil.
func (r *registry) find(id wire.SessionID) *session {
	place := uint32(id)
	if place >= uint32(len(r.places)) {
		return nil
	}
	c := r.places[place].Load()
	if c == nil || c.id != id {
		return nil
	}
	return c
}

// remove forgets a session. Its id is never found again.
func (r *registry) remove(c *session) {
	r.leave(c)
	place := uint32(c.id)
	if r.places[place].CompareAndSwap(c, nil) {
		r.release(place)
	}
}

func (r *registry) release(place uint32) {
	r.mu.Lock()
	r.free = append(r.free, place)
	r.mu.Unlock()
}

func (r *registry) shard(u parley.UserID) *userShard { return &r.users[u[15]%userShards] }

// join puts a session among those of its user, unless they are too many.
func (r *registry) join(c *session) bool {
	shard := r.shard(c.who.User)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	before := shard.sessions[c.who.User]
	if len(before) >= r.userMax {
		return false
	}
	shard.sessions[c.who.User] = append(slices.Clip(before), c)
	return true
}

// leave takes a session from among those of its user: no push reaches it.
func (r *registry) leave(c *session) {
	shard := r.shard(c.who.User)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	before := shard.sessions[c.who.User]
	i := slices.Index(before, c)
	switch {
	case i < 0:
	case len(before) == 1:
		delete(shard.sessions, c.who.User)
	default:
		shard.sessions[c.who.User] = slices.Concat(before[:i], before[i+1:])
	}
}

// of is the sessions of a user. They may leave at any moment.
func (r *registry) of(u parley.UserID) []*session {
	shard := r.shard(u)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.sessions[u]
}

// all yields every session.
func (r *registry) all() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for i := range r.places {
			if c := r.places[i].Load(); c != nil && !yield(c) {
				return
			}
		}
	}
}

// full reports whether there is no place for another session.
func (r *registry) full() bool { return r.len() == len(r.places) }

// len counts the sessions.
func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.places) - len(r.free)
}
