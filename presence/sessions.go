package presence

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parleychat/parley"
)

// shardCount is a power of two; refreshing walks whole shards.
const shardCount = 64

// deviceKey names a device of a user.
type deviceKey struct {
	user   parley.UserID
	device parley.DeviceID
}

// sessions counts the sessions of this process, by user and device.
type sessions struct {
	shards [shardCount]sessionShard
	users  atomic.Int64
}

type sessionShard struct {
	mu    sync.Mutex
	users map[parley.UserID][]deviceCount
}

// deviceCount stands in a slice, for nearly everybody has one device or two.
type deviceCount struct {
	device parley.DeviceID
	count  int
}

func (s *sessions) shard(u parley.UserID) *sessionShard {
	// User ids are random but for the bits of a partition; multiplying spreads
	// whichever those are.
	h := binary.LittleEndian.Uint64(u[:8]) ^ binary.LittleEndian.Uint64(u[8:])
	return &s.shards[h*0x9e3779b97f4a7c15>>58]
}

// connect reports whether this is the first session of the device, and of the
// user.
func (s *sessions) connect(k deviceKey) (device, user bool) {
	shard := s.shard(k.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	held := shard.users[k.user]
	for i := range held {
		if held[i].device == k.device {
			held[i].count++
			return false, false
		}
	}
	if shard.users == nil {
		shard.users = make(map[parley.UserID][]deviceCount)
	}
	shard.users[k.user] = append(held, deviceCount{k.device, 1})
	if len(held) == 0 {
		s.users.Add(1)
	}
	return true, len(held) == 0
}

// disconnect reports whether that was the last session of the device, and of the
// user.
func (s *sessions) disconnect(k deviceKey) (device, user bool) {
	shard := s.shard(k.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	held := shard.users[k.user]
	i := slices.IndexFunc(held, func(d deviceCount) bool { return d.device == k.device })
	if i < 0 {
		return false, false
	}
	if held[i].count--; held[i].count > 0 {
		return false, false
	}
	if held = slices.Delete(held, i, i+1); len(held) > 0 {
		shard.users[k.user] = held
		return true, false
	}
	delete(shard.users, k.user)
	s.users.Add(-1)
	return true, true
}

func (s *sessions) online(u parley.UserID) bool {
	shard := s.shard(u)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return len(shard.users[u]) > 0
}

func (s *sessions) holds(k deviceKey) bool {
	shard := s.shard(k.user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return slices.ContainsFunc(shard.users[k.user], func(d deviceCount) bool { return d.device == k.device })
}

// appendShard appends the devices of one shard.
func (s *sessions) appendShard(to []deviceKey, i int) []deviceKey {
	shard := &s.shards[i]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for u, held := range shard.users {
		for _, d := range held {
			to = append(to, deviceKey{u, d.device})
		}
	}
	return to
}
