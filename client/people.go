package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Presence says whether a user is online, as far as he shows it.
type Presence struct {
	User     string
	Online   bool
	LastSeen time.Time // while he is not online; zero if it is not known
	// Hidden says that he does not show it: nothing else is known.
	Hidden bool
	// Unsure says that he may be online where the server could not ask.
	Unsure bool
}

// Profile is what a user shows of himself.
type Profile struct {
	User    string
	Name    string // empty if he gave none
	Picture string // a reference, such as a URL; empty if he gave none
	// LastSeenTo is to whom he shows his presence; it is set in one's own alone.
	LastSeenTo parley.Privacy
}

// ProfileChange changes what is not nil.
type ProfileChange struct {
	Name       *string // up to 100 bytes; empty for none
	Picture    *string // a reference of up to 512 bytes; empty for none
	LastSeenTo *parley.Privacy
}

const (
	// usersMax is how many users the server tells about at once.
	usersMax = 200
	// WatchMax bounds the conversations that Watch takes.
	WatchMax = 8
	// peopleMax bounds the users that the client remembers something of: more than
	// belong to what can be watched.
	peopleMax = 2 * WatchMax * usersMax
)

// people is what the client knows of others for the moment. None of it is
// stored, and all of it ends with the conversations that are watched.
type people struct {
	watched   []parley.ConversationID
	presences map[string]Presence                            // of who belongs to them
	typing    map[parley.ConversationID]map[string]time.Time // who writes there, until
	typed     map[parley.ConversationID]time.Time            // when it was told that the user writes
	profiles  map[string]Profile                             // that changed, and were not told yet
}

func newPeople() people {
	return people{
		presences: make(map[string]Presence),
		typing:    make(map[parley.ConversationID]map[string]time.Time),
		typed:     make(map[parley.ConversationID]time.Time),
		profiles:  make(map[string]Profile),
	}
}

// Presence asks who of some users is online. It asks once; Watch goes on
// telling.
func (c *Client) Presence(ctx context.Context, users ...string) (presences []Presence, err error) {
	for part := range slices.Chunk(users, usersMax) {
		err = c.call(ctx, &wire.Request{Presence: &wire.GetPresence{Users: part}}, true, func(m *wire.ServerMessage) {
			for _, p := range presencesOf(m.Presences) {
				presences = append(presences, p)
				if _, known := c.people.presences[p.User]; known {
					c.seen(p)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return presences, nil
}

// Watch names the conversations that are open on the screen, at most WatchMax,
// in place of those before; none ends it. It returns the presence of the others
// there (of a large conversation, of the first 200); what is new of that and
// what changes from then on comes as PresenceChanged, TypingChanged and
// ProfileChanged.
//
// The client names them again by itself after each reconnection, where its user
// left one and is back, and when the context was done before the answer came.
// What is told may be out of date for as long as there is no connection. Where the
// server refuses, as it does if the user belongs to one of them no more, it stays
// with those before.
func (c *Client) Watch(ctx context.Context, conversations ...parley.ConversationID) (presences []Presence, err error) {
	if len(conversations) > WatchMax {
		return nil, parley.BadRequest
	}
	c.mu.Lock()
	if err := c.usable(); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	before, now := c.people.watched, slices.Clone(conversations)
	c.people.watched = now
	for id := range c.people.typing {
		if !slices.Contains(conversations, id) {
			c.stopTyping(id)
		}
	}
	c.mu.Unlock()
	// A call that was overtaken by another must not take back what that one said,
	// so each asks for what is wanted when it is written.
	ask := func() *wire.Request {
		if s := c.session; s != nil {
			s.watching = true
		}
		return watchRequest(c.people.watched)
	}
	err = c.callAs(ctx, ask, true, func(m *wire.ServerMessage) {
		presences = c.othersOf(m.Presences)
		c.watchedAre(presences)
	})
	if err != nil {
		c.watchFailed(err, before, now)
	}
	return presences, err
}

// watchFailed goes back to what was watched before, where the server has refused
// the change; else the client itself names it later.
func (c *Client) watchFailed(err error, before, now []parley.ConversationID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused, ok := errors.AsType[*Refusal](err); ok && !refused.Code.Retry() {
		if slices.Equal(c.people.watched, now) {
			c.people.watched = before
		}
		return
	}
	c.watchAgain()
}

// watchAgain has what is watched named again in this session. c.mu is held.
func (c *Client) watchAgain() {
	if s := c.session; s != nil {
		s.watching = false
		c.attend(time.Now())
	}
}

func watchRequest(conversations []parley.ConversationID) *wire.Request {
	q := &wire.Watch{}
	for _, id := range conversations {
		q.Conversations = append(q.Conversations, slices.Clone(id[:]))
	}
	return &wire.Request{Watch: q}
}

// rewatch names what is watched in a new session, once its sync has told what
// the user belongs to still: the server refuses all for one that he does not.
// c.mu is held.
func (c *Client) rewatch(s *session) {
	if s.watching || s.leaving != nil {
		return
	}
	if time.Now().Before(s.watchAt) {
		c.attend(s.watchAt)
		return
	}
	s.watching = true
	mine := slices.DeleteFunc(slices.Clone(c.people.watched), func(id parley.ConversationID) bool {
		v := c.conversations[id]
		return v == nil || v.Left
	})
	if len(mine) == 0 {
		c.watchedAre(nil)
		return
	}
	s.ask(watchRequest(mine), func(m *wire.ServerMessage) {
		switch {
		case m == nil:
		case m.Presences != nil:
			c.watchedAre(c.othersOf(m.Presences))
		case m.Error != nil:
			c.log.Warn("watching was refused", "code", m.Error.Code, "message", m.Error.Message)
			if parley.Code(m.Error.Code).Retry() {
				s.watching = false
				s.watchAt = time.Now().Add(max(c.o.backoff(2), time.Duration(m.Error.RetryAfterMs)*time.Millisecond))
				c.attend(s.watchAt)
			}
		}
	})
}

// watchedAre takes over who belongs to what is watched. c.mu is held.
func (c *Client) watchedAre(presences []Presence) {
	before := c.people.presences
	c.people.presences = make(map[string]Presence, len(presences))
	for _, p := range presences {
		if old, known := before[p.User]; known {
			c.people.presences[p.User] = old
		}
		c.seen(p)
	}
	for user := range before {
		if _, still := c.people.presences[user]; !still {
			c.notes.forget(note{kind: notePresence, user: user})
		}
	}
}

// othersOf are presences without the user's own. c.mu is held.
func (c *Client) othersOf(w *wire.Presences) []Presence {
	return slices.DeleteFunc(presencesOf(w), func(p Presence) bool { return p.User == c.meta.User })
}

// unwatch forgets a conversation that is gone. c.mu is held.
func (c *Client) unwatch(id parley.ConversationID) {
	c.people.watched = slices.DeleteFunc(c.people.watched, func(w parley.ConversationID) bool { return w == id })
	c.stopTyping(id)
}

// seen takes over somebody's presence, and tells what is new. c.mu is held.
func (c *Client) seen(p Presence) {
	old, known := c.people.presences[p.User]
	if known && old == p || !known && len(c.people.presences) >= peopleMax {
		return
	}
	c.people.presences[p.User] = p
	c.notes.add(note{kind: notePresence, user: p.User})
}

func (c *Client) hintPresences(w *wire.Presences) {
	if len(c.people.watched) == 0 {
		return // it crossed with the end of watching
	}
	for _, p := range c.othersOf(w) {
		c.seen(p)
	}
}

// hintTyping takes note of who writes, and for how long to believe it.
func (c *Client) hintTyping(w *wire.Typing) {
	id, ok := conversationOf(w.Conversation)
	if !ok || w.User == c.meta.User || !slices.Contains(c.people.watched, id) {
		return
	}
	if !w.Active {
		c.stopTyping(id, w.User)
		return
	}
	typing := c.people.typing[id]
	if typing == nil {
		typing = make(map[string]time.Time)
		c.people.typing[id] = typing
	}
	_, known := typing[w.User]
	if !known && len(typing) >= usersMax {
		return
	}
	until := time.Now().Add(c.o.typingEnds)
	typing[strings.Clone(w.User)] = until
	c.attend(until)
	if !known {
		c.notes.add(note{kind: noteTyping, conversation: id})
	}
}

// stopTyping takes users out of who writes, all if none are named. c.mu is held.
func (c *Client) stopTyping(id parley.ConversationID, users ...string) {
	typing, changed := c.people.typing[id], false
	for user := range typing {
		if len(users) == 0 || slices.Contains(users, user) {
			delete(typing, user)
			changed = true
		}
	}
	if len(typing) == 0 {
		delete(c.people.typing, id)
	}
	if changed {
		c.notes.add(note{kind: noteTyping, conversation: id})
	}
}

// endTyping ends what nobody repeated. c.mu is held.
func (c *Client) endTyping(now time.Time) {
	for id, typing := range c.people.typing {
		for user, until := range typing {
			if now.Before(until) {
				c.attend(until)
			} else {
				c.stopTyping(id, user)
			}
		}
	}
}

// nobodyTypes forgets what is said without a connection. c.mu is held.
func (c *Client) nobodyTypes() {
	for id := range c.people.typing {
		c.stopTyping(id)
	}
	clear(c.people.typed)
}

// wrote takes note that somebody's newest message is there: he has stopped
// writing it. c.mu is held.
func (c *Client) wrote(v *conversation, m *Message) {
	if m.Seq == v.Last {
		c.stopTyping(v.ID, m.From)
	}
}

// Typing says that the user writes in a conversation, or that he stopped. Call
// it with each key that he hits: it tells the server every 4 seconds at most,
// that he stopped only where it was told that he writes, and nothing while there
// is no connection. It waits for nothing.
func (c *Client) Typing(id parley.ConversationID, active bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.session
	if s == nil || s.leaving != nil {
		return
	}
	now := time.Now()
	for other, at := range c.people.typed {
		if now.Sub(at) >= c.o.typingEnds {
			delete(c.people.typed, other) // it has ended by itself
		}
	}
	told, is := c.people.typed[id]
	switch {
	case active && is && now.Sub(told) < c.o.typingEvery, !active && !is:
		return
	case active:
		c.people.typed[id] = now
	default:
		delete(c.people.typed, id)
	}
	s.hint(&wire.Typing{Conversation: slices.Clone(id[:]), Active: active})
}

// hint has something written that nobody answers. What waits is replaced by what
// is newer; where the server has enough to do, it is left out. c.mu is held.
func (s *session) hint(w *wire.Typing) {
	s.hints = slices.DeleteFunc(s.hints, func(q *wire.Request) bool { return string(q.Typing.Conversation) == string(w.Conversation) })
	if most := int(s.welcome.RequestsMax); most > 0 && len(s.answers)+len(s.hints) >= most {
		return
	}
	s.hints = append(s.hints, &wire.Request{Typing: w})
	s.signal()
}

// Profiles asks for what users show of themselves.
func (c *Client) Profiles(ctx context.Context, users ...string) (profiles []Profile, err error) {
	for part := range slices.Chunk(users, usersMax) {
		err = c.call(ctx, &wire.Request{Profiles: &wire.GetProfiles{Users: part}}, true, func(m *wire.ServerMessage) {
			if m.Profiles == nil {
				return
			}
			for _, w := range m.Profiles.Profiles {
				profiles = append(profiles, profileOf(w))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return profiles, nil
}

// SetProfile changes what others see of the user, and returns all of it.
func (c *Client) SetProfile(ctx context.Context, change ProfileChange) (profile Profile, err error) {
	q := &wire.SetProfile{Name: change.Name, Picture: change.Picture}
	if to := change.LastSeenTo; to != nil {
		audience := wire.Audience(*to)
		q.LastSeenTo = &audience
	}
	err = c.call(ctx, &wire.Request{SetProfile: q}, true, func(m *wire.ServerMessage) {
		if m.Profiles != nil && len(m.Profiles.Profiles) == 1 {
			profile = profileOf(m.Profiles.Profiles[0])
		}
	})
	return profile, err
}

// hintProfiles takes over the names and pictures of members, and tells.
func (c *Client) hintProfiles(w *wire.Profiles) {
	for _, one := range w.Profiles {
		p := profileOf(one)
		for _, v := range c.conversations {
			i, found := v.member(p.User)
			if found && (v.Members[i].Name != p.Name || v.Members[i].Picture != p.Picture) {
				v.Members[i].Name, v.Members[i].Picture = p.Name, p.Picture
				c.put(v)
			}
		}
		if _, waits := c.people.profiles[p.User]; waits || len(c.people.profiles) < peopleMax {
			c.people.profiles[p.User] = p
			c.notes.add(note{kind: noteProfile, user: p.User})
		}
	}
}
