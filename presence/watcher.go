package presence

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/parleychat/parley"
)

// ticksPerLease is how often in a lease's time the watcher looks whether leases
// of others have ended: with a lease of 60 s, every 2 s. In the same time it asks
// once more for everybody, in as many portions, in case word of a change was lost.
const ticksPerLease = 30

// watcher looks after those who are watched, and tells what changes.
//
// Redis says which of the keys that were read have changed; that has their users
// looked at again. It does not say in time that a lease has ended, so leases are
// looked at on every tick: the cache answers until they would end.
type watcher struct {
	*Redis

	seen  map[string]string // gateway → epochs of its lease, of those that somebody watched depends on
	ticks int
}

func (w *watcher) run() {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.watches.wake:
		case <-ticker.C:
			w.ticks++
			w.askAgain()
			w.leasesChanged.Store(true)
		}
		if w.leasesChanged.Swap(false) {
			w.lookAtLeases()
		}
		w.settleAll()
	}
}

// askAgain has one portion of the watched looked at again.
func (w *watcher) askAgain() {
	portion := byte(w.ticks % ticksPerLease)
	w.watches.touchIf(func(u parley.UserID, _ []claim) bool { return (u[15]^u[3])%ticksPerLease == portion })
}

// lookAtLeases finds the gateways whose lease ended or names other epochs.
func (w *watcher) lookAtLeases() {
	if len(w.seen) == 0 || w.isDegraded() {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Timeout)
	defer cancel()
	leases, err := w.readLeases(ctx, slices.Collect(maps.Keys(w.seen)))
	if err != nil && w.ctx.Err() == nil {
		w.lost(err)
	}
	for g, l := range leases {
		w.noteLease(g, l)
		if l == "" {
			delete(w.seen, g)
		}
	}
}

// noteLease has those looked at again who depend on a lease that changed.
func (w *watcher) noteLease(gateway string, l lease) {
	before, known := w.seen[gateway]
	w.seen[gateway] = l.epochs()
	if known && before != l.epochs() {
		w.watches.touchIf(func(_ parley.UserID, claims []claim) bool {
			return slices.ContainsFunc(claims, func(c claim) bool { return c.gateway == gateway })
		})
	}
}

// settleAll looks at everybody who waits for it, and tells. Those who cannot be
// looked at wait for the next tick.
func (w *watcher) settleAll() {
	var back []parley.UserID
	for w.ctx.Err() == nil {
		batch := w.watches.take(nil, UsersMax)
		if len(batch) == 0 {
			break
		}
		back = append(back, w.settle(batch)...)
	}
	w.watches.giveBack(back)
}

// settle returns those of the batch whose standing is not known.
func (w *watcher) settle(batch []parley.UserID) (unknown []parley.UserID) {
	var elsewhere []parley.UserID
	for _, u := range batch {
		if w.sessions.online(u) {
			w.tell(u, true, nil)
		} else {
			elsewhere = append(elsewhere, u)
		}
	}
	if len(elsewhere) == 0 || w.isDegraded() {
		return elsewhere
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Timeout)
	defer cancel()
	found := make([]standing, len(elsewhere))
	if err := w.lookUp(ctx, elsewhere, found, w.noteLease); err != nil {
		if w.ctx.Err() == nil {
			w.lost(err)
		}
		return elsewhere
	}
	for i, u := range elsewhere {
		w.tell(u, found[i].online, found[i].claims)
	}
	return nil
}

func (w *watcher) tell(u parley.UserID, online bool, claims []claim) {
	if w.watches.settle(u, online, claims) && w.options.Changed != nil && w.ctx.Err() == nil {
		w.options.Changed(u, online)
	}
}
