package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// watches are the conversations that sessions have open on the screen. Two
// questions are asked of them: who watches a conversation, and who watches a user
// through one.
//
// The members of a conversation that is watched are read when the first session
// opens it, and kept by the messages that say who came and went. Both happen under
// the lock: what was applied before the reading is in it, and what is told after it
// is put in again, which changes nothing.
type watches struct {
	presence Presence
	most     int // sessions' conversations
	mostOf   int // members of those

	refused, slow atomic.Uint64

	mu       sync.Mutex // guards below
	sessions map[wire.SessionID]*watcher
	open     map[place]*watched
	users    map[parley.UserID][]*watched // by member
	pairs    int                          // sessions' conversations
	members  int                          // of all that are open
}

// place names a conversation.
type place struct {
	tenant       parley.TenantID
	conversation parley.ConversationID
}

// watcher is a session that has watched or typed.
type watcher struct {
	id     wire.SessionID
	who    parley.Identity
	asked  uint32 // requests to watch, so far
	obeyed uint32 // the newest that was carried out
	open   []*watched
	typed  [typedMax]typed
}

// watched is a conversation that some session watches.
type watched struct {
	place
	watchers []*watcher
	members  []parley.UserID // at most askedMax
	filled   bool
}

// The limits of a session.
const (
	watchMax = 8 // conversations that it watches
	typedMax = 8 // conversations in which it types at once
)

// typed is when a session typed somewhere.
type typed struct {
	place
	at     time.Time
	active bool
}

// typingEvery is how often the typing in one conversation is passed on.
const typingEvery = 2 * time.Second

// seer is a session that watches a user, through a conversation.
type seer struct {
	session      wire.SessionID
	who          parley.Identity
	conversation parley.ConversationID
}

func newWatches(most, mostOf int) *watches {
	return &watches{
		most: most, mostOf: mostOf,
		sessions: make(map[wire.SessionID]*watcher), open: make(map[place]*watched), users: make(map[parley.UserID][]*watched),
	}
}

// enter notes a session, and is its watcher. Whoever passes on its requests calls
// it, and so it is never called after ended.
func (w *watches) enter(session wire.SessionID, who parley.Identity) *watcher {
	s := w.sessions[session]
	if s == nil {
		s = &watcher{id: session, who: who}
		w.sessions[session] = s
	}
	return s
}

// ask gives a request to watch its turn: workers may carry out two of them in the
// other order, and the newest counts.
func (w *watches) ask(session wire.SessionID, who parley.Identity) uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.enter(session, who)
	s.asked++
	return s.asked
}

// set has a session watch these conversations and no others, unless it has ended,
// or asked for something else since.
func (w *watches) set(session wire.SessionID, turn uint32, places []place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[session]
	if s == nil || turn < s.obeyed {
		return nil
	}
	if w.pairs-len(s.open)+len(places) > w.most || len(places) > 0 && w.members >= w.mostOf {
		w.refused.Add(1)
		return fmt.Errorf("%w: too much is watched", parley.Overloaded)
	}
	s.obeyed = turn
	for _, c := range slices.Clone(s.open) {
		if !slices.Contains(places, c.place) {
			w.leave(s, c)
		}
	}
	for _, p := range places {
		c := w.open[p]
		if c == nil {
			c = &watched{place: p}
			w.open[p] = c
		}
		if !slices.Contains(s.open, c) {
			s.open, c.watchers = append(s.open, c), append(c.watchers, s)
			w.pairs++
		}
	}
	return nil
}

// fill is the members of a conversation: those that are kept, or else those that
// are read now, and kept if somebody watches it.
func (w *watches) fill(p place, read func() ([]parley.UserID, error)) ([]parley.UserID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.open[p]
	if c != nil && c.filled {
		return slices.Clone(c.members), nil
	}
	users, err := read()
	if c != nil && err == nil {
		c.filled = true
		w.add(c, users)
	}
	return users, err
}

// end ends what a session watches of one conversation.
func (w *watches) end(session wire.SessionID, p place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, c := w.sessions[session], w.open[p]
	if s != nil && c != nil && slices.Contains(s.open, c) {
		w.leave(s, c)
	}
}

func (w *watches) add(c *watched, users []parley.UserID) {
	fresh := len(c.members)
	for _, u := range users {
		if len(c.members) < askedMax && !slices.Contains(c.members, u) {
			c.members = append(c.members, u)
			w.users[u] = append(w.users[u], c)
		}
	}
	w.members += len(c.members) - fresh
	w.presence.Watch(c.members[fresh:])
}

// forget takes members from a conversation.
func (w *watches) forget(c *watched, users []parley.UserID) {
	for _, u := range users {
		if in := slices.DeleteFunc(w.users[u], func(o *watched) bool { return o == c }); len(in) > 0 {
			w.users[u] = in
		} else {
			delete(w.users, u)
		}
	}
	w.members -= len(users)
	w.presence.Unwatch(users)
}

// leave ends what a session watches of one conversation. Who is last closes it.
func (w *watches) leave(s *watcher, c *watched) {
	s.open = slices.DeleteFunc(s.open, func(o *watched) bool { return o == c })
	c.watchers = slices.DeleteFunc(c.watchers, func(o *watcher) bool { return o == s })
	w.pairs--
	if len(c.watchers) == 0 {
		w.forget(c, c.members)
		delete(w.open, c.place)
	}
}

// regroup follows the members of a conversation: somebody joined or left it.
func (w *watches) regroup(p place, joined, left []parley.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.open[p]
	if c == nil {
		return
	}
	if c.filled && len(joined) > 0 {
		w.add(c, joined)
	}
	for _, u := range left {
		if i := slices.Index(c.members, u); i >= 0 {
			c.members = slices.Delete(c.members, i, i+1)
			w.forget(c, []parley.UserID{u})
		}
		for _, s := range slices.Clone(c.watchers) {
			if s.who.User == u {
				w.leave(s, c)
			}
		}
	}
}

// ended forgets a session.
func (w *watches) ended(session wire.SessionID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[session]
	if s == nil {
		return
	}
	delete(w.sessions, session)
	for _, c := range slices.Clone(s.open) {
		w.leave(s, c)
	}
}

// seers are the sessions that watch a user; those of one session stand together.
func (w *watches) seers(u parley.UserID) (list []seer) {
	w.mu.Lock()
	for _, c := range w.users[u] {
		for _, s := range c.watchers {
			list = append(list, seer{s.id, s.who, c.conversation})
		}
	}
	w.mu.Unlock() // the poller may wait for it
	slices.SortFunc(list, func(a, b seer) int { return cmp.Compare(a.session, b.session) })
	return list
}

// typing says whether that a session types is passed on, and to whom: those who
// watch the conversation, but for the user himself.
func (w *watches) typing(session wire.SessionID, who parley.Identity, p place, active bool, now time.Time) []seer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.enter(session, who).mayType(p, active, now) {
		w.slow.Add(1)
		return nil
	}
	c := w.open[p]
	if c == nil {
		return nil
	}
	list := make([]seer, 0, len(c.watchers))
	for _, s := range c.watchers {
		if s.who.User != who.User {
			list = append(list, seer{s.id, s.who, p.conversation})
		}
	}
	return list
}

// mayType notes that a session types, or has stopped, and reports whether that is
// news. That it has stopped always is, once.
func (s *watcher) mayType(p place, active bool, now time.Time) bool {
	at, oldest := -1, 0
	for i := range s.typed {
		if s.typed[i].place == p {
			at = i
		}
		if s.typed[i].at.Before(s.typed[oldest].at) {
			oldest = i
		}
	}
	if at < 0 {
		at = oldest
	}
	t := &s.typed[at]
	ends := t.place == p && t.active && !active
	if !t.at.IsZero() && now.Sub(t.at) < typingEvery && !ends {
		return false
	}
	if ends {
		t.active = false // who goes on typing at once is heard when the time is over
		return true
	}
	*t = typed{p, now, active}
	return true
}

// levels are how much is watched now.
func (w *watches) levels() (pairs, members int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pairs, w.members
}
