package presence

import (
	"sync"

	"github.com/parleychat/parley"
)

// watches holds who is watched, what was told of each, and who has to be looked
// at again. One goroutine takes from it and tells.
type watches struct {
	wake chan struct{} // holds one

	mu      sync.Mutex // guards below
	watched map[parley.UserID]*watch
	stale   map[parley.UserID]struct{} // to be looked at; all of them watched
}

type watch struct {
	interests int
	told      bool // what the caller believes
	known     bool // whether he believes anything yet
	force     bool // he was told two things at once; tell him again
	claims    []claim
}

func newWatches() *watches {
	return &watches{
		wake:    make(chan struct{}, 1),
		watched: make(map[parley.UserID]*watch),
		stale:   make(map[parley.UserID]struct{}),
	}
}

func (w *watches) add(users []parley.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range users {
		if of := w.watched[u]; of != nil {
			of.interests++
			continue
		}
		w.watched[u] = &watch{interests: 1}
		w.stale[u] = struct{}{}
	}
	w.signal()
}

func (w *watches) remove(users []parley.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range users {
		of := w.watched[u]
		if of == nil {
			continue
		}
		if of.interests--; of.interests == 0 {
			delete(w.watched, u)
			delete(w.stale, u)
		}
	}
}

func (w *watches) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}

// touch has a user looked at again, if he is watched.
func (w *watches) touch(u parley.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[u] != nil {
		w.stale[u] = struct{}{}
		w.signal()
	}
}

// touchIf has those looked at again of whom which says so.
func (w *watches) touchIf(which func(u parley.UserID, claims []claim) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for u, of := range w.watched {
		if which(u, of.claims) {
			w.stale[u] = struct{}{}
		}
	}
	if len(w.stale) > 0 {
		w.signal()
	}
}

// answered notes what Online said, so that a change after it is told. If the
// caller was told otherwise, nobody knows which of the two he heard last, and he
// is told again.
func (w *watches) answered(users []parley.UserID, online []bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, u := range users {
		of := w.watched[u]
		switch {
		case of == nil || of.known && of.told == online[i]:
		case !of.known:
			of.known, of.told = true, online[i]
			w.stale[u] = struct{}{}
			w.signal()
		default:
			of.force = true
			w.stale[u] = struct{}{}
			w.signal()
		}
	}
}

// take moves up to limit stale users to the list.
func (w *watches) take(list []parley.UserID, limit int) []parley.UserID {
	w.mu.Lock()
	defer w.mu.Unlock()
	for u := range w.stale {
		if len(list) == limit {
			break
		}
		list = append(list, u)
		delete(w.stale, u)
	}
	return list
}

// giveBack has users looked at again, later: at the next tick, for nobody is
// woken.
func (w *watches) giveBack(users []parley.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range users {
		if w.watched[u] != nil {
			w.stale[u] = struct{}{}
		}
	}
}

// settle notes how a user stands and reports whether that has to be told.
func (w *watches) settle(u parley.UserID, online bool, claims []claim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.watched[u]
	if of == nil {
		return false
	}
	of.claims = claims
	tell := of.force || of.known && of.told != online
	of.told, of.known, of.force = online, true, false
	return tell
}

// signal wakes the one who tells. Callers hold mu or not, as they like.
func (w *watches) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
