package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// listDevices lists the user's own. The clients that name none are one of them
// while there are any. One that made room for others, though it is here, is listed
// by its id: a user who looks for who is on his account is to see everybody.
func (r *Router) listDevices(j *job) (*wire.ServerMessage, error) {
	current, _ := r.sockets.Device(j.session)
	list := r.service.Devices(j.who)
	list = slices.DeleteFunc(list, func(d chat.DeviceState) bool {
		return d.ID.IsZero() && !r.farewells.isLive(deviceKey{j.who.User, d.ID})
	})
	for _, session := range r.sockets.Sessions(j.who.User, nil) {
		id, ok := r.sockets.Device(session)
		if ok && !slices.ContainsFunc(list, func(d chat.DeviceState) bool { return d.ID == id }) {
			list = append(list, chat.DeviceState{ID: id})
		}
	}
	out := &wire.Devices{Devices: make([]*wire.Device, len(list))}
	for i, d := range list {
		w := &wire.Device{
			Name: d.Name, Platform: d.Platform, Created: micros(d.Created), LastSeen: micros(d.Seen),
			Online: r.farewells.isLive(deviceKey{j.who.User, d.ID}), Current: d.ID == current,
		}
		if !d.ID.IsZero() {
			w.Device = d.ID[:]
		}
		out.Devices[i] = w
	}
	return &wire.ServerMessage{Devices: out}, nil
}

// revokeDevice shuts a device out. Its sockets end behind the answer, so that a
// client that revokes itself has it. They end, too, where the device made room for
// others; if it comes again it is known, and can be shut out.
func (r *Router) revokeDevice(ctx context.Context, j *job) (*wire.ServerMessage, error) {
	var d parley.DeviceID
	copy(d[:], j.request.RevokeDevice.Device)
	u := j.who.User
	err := r.service.Revoke(ctx, j.who, d)
	if err != nil && !(errors.Is(err, parley.BadRequest) && r.farewells.isLive(deviceKey{u, d})) {
		return nil, err
	}
	j.then = func() { r.sockets.EndDevice(u, d, wire.CloseRevoked, parley.Revoked.String()) }
	return done(nil)
}

// farewells know which devices have sessions here, and write down when they were
// there last once they have none: gathered for a second, for a storm of ends is to
// be few batches.
type farewells struct {
	most    int // of waiting
	dropped atomic.Uint64

	mu      sync.Mutex        // guards below
	live    map[deviceKey]int // sessions
	waiting []chat.Seen
	// When users were here last who have gone in this second, and in the last: what
	// was written down a moment ago is not applied yet.
	fresh, recent map[parley.UserID]time.Time
}

type deviceKey struct {
	user   parley.UserID
	device parley.DeviceID
}

func newFarewells(most int) *farewells {
	return &farewells{
		most: most, live: make(map[deviceKey]int),
		fresh: make(map[parley.UserID]time.Time), recent: make(map[parley.UserID]time.Time),
	}
}

// greet counts a session of a device.
func (f *farewells) greet(k deviceKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live[k]++
}

// leave counts the end of one.
func (f *farewells) leave(k deviceKey, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live[k]--; f.live[k] > 0 {
		return
	}
	delete(f.live, k)
	f.wait(chat.Seen{User: k.user, Device: k.device, At: now})
}

func (f *farewells) wait(s chat.Seen) {
	if len(f.waiting) >= f.most {
		f.dropped.Add(1) // then it counts as seen when it connected
		return
	}
	f.waiting = append(f.waiting, s)
	if s.At.After(f.fresh[s.User]) {
		f.fresh[s.User] = s.At
	}
}

// again has those wait whom the log refused: it is full, or the disk is.
func (f *farewells) again(refused []chat.Seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range refused {
		f.wait(s)
	}
}

func (f *farewells) isLive(k deviceKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live[k] > 0
}

// lastSeen is when a user left, if that was a moment ago.
func (f *farewells) lastSeen(u parley.UserID) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.fresh[u]; ok {
		return at
	}
	return f.recent[u]
}

// take is what has gathered, but for those that have come back: the log has them
// online, and would take an end of before for that of now.
func (f *farewells) take() []chat.Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := slices.DeleteFunc(f.waiting, func(s chat.Seen) bool { return f.live[deviceKey{s.User, s.Device}] > 0 })
	f.waiting = nil
	clear(f.recent)
	f.fresh, f.recent = f.recent, f.fresh
	return gone
}

func (f *farewells) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting)
}

// beatEvery is how often the log is told that this process lives: after a crash,
// who was online counts as seen at the last of these.
const beatEvery = 30 * time.Second

// keep writes down who was seen when, until the router is closed.
func (r *Router) keep() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	r.service.Beat(time.Now())
	beat := time.Now()
	for {
		select {
		case <-r.closed:
			r.sayFarewells()
			r.service.Beat(time.Now())
			return
		case now := <-second.C:
			r.sayFarewells()
			if now.Sub(beat) >= beatEvery {
				beat = now
				r.service.Beat(now)
			}
		}
	}
}

func (r *Router) sayFarewells() { r.farewells.again(r.service.Seen(r.farewells.take())) }
