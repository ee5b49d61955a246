package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Presence knows who is online, here and elsewhere: package presence. Only Online
// may wait, and an error of it says that its answer is less than all.
type Presence interface {
	// Connect and Disconnect count the sessions of a user's device.
	Connect(u parley.UserID, d parley.DeviceID)
	Disconnect(u parley.UserID, d parley.DeviceID)
	// Online reports of up to 200 users who is.
	Online(ctx context.Context, users []parley.UserID, into []bool) error
	// Watch has changes of the users told to Router.Changed, until as many
	// Unwatch.
	Watch(users []parley.UserID)
	Unwatch(users []parley.UserID)
}

// askedMax is how many users one request may name, and how many members of a
// conversation a session that watches it hears of.
const askedMax = 200

// belongs reports whether a user is a member of a conversation now.
func (r *Router) belongs(who parley.Identity, c parley.ConversationID) bool {
	_, err := r.service.State(who, c)
	return err == nil
}

// shows reports whether a user shows his presence to another. shared says whether
// they share a conversation; it is asked only where that decides.
func (r *Router) shows(u parley.UserID, to parley.Identity, shared func() bool) bool {
	if u == to.User {
		return true
	}
	p, ok := r.service.Profile(u)
	switch {
	case !ok || p.LastSeenTo == parley.Nobody:
		return false
	case p.LastSeenTo == parley.Everybody:
		return true
	}
	return shared()
}

// lastSeen is when a user was there last, who is not online: also while that is
// on its way to the log.
func (r *Router) lastSeen(u parley.UserID) time.Time {
	at := r.service.LastSeen(u)
	if left := r.farewells.lastSeen(u); left.After(at) {
		return left
	}
	return at
}

// standing is one user as another sees him.
type standing struct {
	subject string
	user    parley.UserID
	shown   bool
}

// presences asks how users stand.
func (r *Router) presences(ctx context.Context, of []standing) *wire.Presences {
	out := &wire.Presences{Presences: make([]*wire.Presence, len(of))}
	asked, at := make([]parley.UserID, 0, askedMax), make([]int, 0, askedMax)
	var online [askedMax]bool
	ask := func() {
		clear(online[:])
		if err := r.presence.Online(ctx, asked, online[:len(asked)]); err != nil {
			out.Degraded = true
		}
		for i, u := range asked {
			out.Presences[at[i]] = r.wirePresence(of[at[i]].subject, u, online[i])
		}
		asked, at = asked[:0], at[:0]
	}
	for i := range of {
		if !of[i].shown {
			out.Presences[i] = &wire.Presence{User: of[i].subject, Hidden: true}
			continue
		}
		if asked, at = append(asked, of[i].user), append(at, i); len(asked) == askedMax {
			ask()
		}
	}
	if len(asked) > 0 {
		ask()
	}
	return out
}

func (r *Router) wirePresence(subject string, u parley.UserID, online bool) *wire.Presence {
	p := &wire.Presence{User: subject, Online: online}
	if !online {
		p.LastSeen = micros(r.lastSeen(u))
	}
	return p
}

// shareTelling has no change of anybody's presence or profile told before the answer
// to a job, which may not know it yet.
func (r *Router) shareTelling(j *job) {
	r.telling.RLock()
	j.then = r.telling.RUnlock
}

// getPresence answers for users who are named. Somebody who does not exist looks
// like one who hides.
func (r *Router) getPresence(ctx context.Context, who parley.Identity, q *wire.GetPresence) (*wire.ServerMessage, error) {
	if len(q.Users) > askedMax {
		return nil, fmt.Errorf("%w: %d users, at most %d", parley.BadRequest, len(q.Users), askedMax)
	}
	of := make([]standing, len(q.Users))
	for i, subject := range q.Users {
		u, ok := r.service.User(who.Tenant, subject)
		of[i] = standing{subject, u, ok && r.shows(u, who, func() bool {
			return r.service.Share(who, parley.Identity{Tenant: who.Tenant, User: u})
		})}
	}
	return &wire.ServerMessage{Presences: r.presences(ctx, of)}, nil
}

// watch puts the conversations that are open on a device in place of those before,
// and answers with the presence of their members.
func (r *Router) watch(ctx context.Context, j *job) (*wire.ServerMessage, error) {
	ids := j.request.Watch.Conversations
	if len(ids) > watchMax {
		return nil, fmt.Errorf("%w: %d conversations, at most %d", parley.BadRequest, len(ids), watchMax)
	}
	places := make([]place, 0, len(ids))
	for _, id := range ids {
		c, err := conversationOf(id)
		if err != nil {
			return nil, err
		}
		if !r.belongs(j.who, c) {
			return nil, parley.NotMember
		}
		places = append(places, place{j.who.Tenant, c})
	}
	if err := r.watches.set(j.session, j.turn, places); err != nil {
		return nil, err
	}
	var of []standing
	known := make(map[parley.UserID]bool)
	for _, p := range places {
		for _, u := range r.openFor(j, p) {
			if !known[u] {
				known[u] = true
				of = append(of, standing{r.subject(u), u, r.shows(u, j.who, func() bool { return true })})
			}
		}
	}
	return &wire.ServerMessage{Presences: r.presences(ctx, of)}, nil
}

// openFor is the members of a conversation that a session watches from now on. Who
// was removed a moment before does not, whichever of the two came first: his
// removal is seen here, or ends what he watches. To him it has none, and what else
// he watches stays.
func (r *Router) openFor(j *job, p place) []parley.UserID {
	if !r.belongs(j.who, p.conversation) {
		r.watches.end(j.session, p)
		return nil
	}
	users, err := r.watches.fill(p, func() ([]parley.UserID, error) { return r.firstMembers(j.who, p.conversation) })
	if err != nil { // removed since; word of it is on its way
		return nil
	}
	return users
}

// firstMembers are those of a conversation's members whose presence is watched.
func (r *Router) firstMembers(who parley.Identity, c parley.ConversationID) ([]parley.UserID, error) {
	list, err := r.service.Members(who, c)
	if err != nil {
		return nil, err
	}
	users := make([]parley.UserID, 0, min(len(list), askedMax))
	for i := range list[:min(len(list), askedMax)] {
		users = append(users, list[i].User)
	}
	return users, nil
}

// Changed hears from the registry that somebody who is watched came or went, and
// tells it to those who watch and may know.
func (r *Router) Changed(u parley.UserID, online bool) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.tellPresence(u, online, false)
}

// tellPresence tells how a user stands. Those whom he does not show it hear
// nothing; or, where that is what has changed, that he hides. Whoever calls it holds
// telling.
func (r *Router) tellPresence(u parley.UserID, online, privacy bool) {
	seers := r.watches.seers(u)
	if len(seers) == 0 {
		return
	}
	shown, hidden := r.judge(u, seers)
	subject := r.subject(u)
	if len(shown) > 0 {
		r.hint(shown, &wire.ServerMessage{Presences: &wire.Presences{Presences: []*wire.Presence{r.wirePresence(subject, u, online)}}})
	}
	if privacy && len(hidden) > 0 {
		r.hint(hidden, &wire.ServerMessage{Presences: &wire.Presences{Presences: []*wire.Presence{{User: subject, Hidden: true}}}})
	}
	r.sockets.Flush()
}

// judge says to which sessions a user shows his presence now, whatever was so when
// they began to watch.
func (r *Router) judge(u parley.UserID, seers []seer) (shown, hidden []wire.SessionID) {
	for from := 0; from < len(seers); {
		to := from + 1 // one session, by all the conversations in which it watches him
		for to < len(seers) && seers[to].session == seers[from].session {
			to++
		}
		s := seers[from]
		if r.shows(u, s.who, func() bool { return r.together(u, seers[from:to]) }) {
			shown = append(shown, s.session)
		} else {
			hidden = append(hidden, s.session)
		}
		from = to
	}
	return shown, hidden
}

// together reports whether a user and who watches him both belong to one of the
// conversations by which he does.
func (r *Router) together(u parley.UserID, by []seer) bool {
	for _, s := range by {
		if r.belongs(s.who, s.conversation) && r.belongs(parley.Identity{Tenant: s.who.Tenant, User: u}, s.conversation) {
			return true
		}
	}
	return false
}

func (r *Router) hint(to []wire.SessionID, m *wire.ServerMessage) {
	r.counters.hints.Add(1)
	r.sockets.Hint(to, m)
}
