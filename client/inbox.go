package client

import (
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// known is a conversation of the client, made if it is new. c.mu is held.
func (c *Client) known(id parley.ConversationID) *conversation {
	v := c.conversations[id]
	if v == nil {
		v = &conversation{Conversation: Conversation{ID: id, Incarnation: c.meta.Incarnation}}
		c.conversations[id] = v
	}
	return v
}

// outdated reports a conversation that was heard of from the store before a
// restore: what comes for it has to wait until the sync has said how it stands
// now. c.mu is held.
func (c *Client) outdated(s *session, id parley.ConversationID) bool {
	v := c.conversations[id]
	if v == nil || v.Incarnation == c.meta.Incarnation {
		return false
	}
	s.syncAgain = true
	return true
}

// touched takes note that a conversation is there: a sync that was answered
// before does not know of it.
func (s *session) touched(id parley.ConversationID) {
	if s.seen != nil {
		s.seen[id] = true
	}
}

func (c *Client) pushedMessage(s *session, w *wire.Message) {
	id, ok := conversationOf(w.Conversation)
	if !ok || w.Seq == 0 || c.outdated(s, id) {
		return
	}
	s.touched(id)
	v := c.known(id)
	c.take(v, messageOf(id, w), w.Ordinal)
	c.grown(v)
}

func (c *Client) pushedMarks(s *session, w *wire.MarksChanged) {
	id, ok := conversationOf(w.Conversation)
	v := c.conversations[id]
	if !ok || v == nil || c.outdated(s, id) || w.User == c.meta.User {
		return
	}
	m := Member{User: strings.Clone(w.User), Role: parley.RoleMember}
	if i, found := v.member(w.User); found {
		m = v.Members[i]
	}
	m.Delivered, m.Read = parley.Seq(w.Delivered), parley.Seq(w.Read)
	v.raise(m)
	v.tick()
	c.put(v)
}

func (c *Client) pushedState(s *session, w *wire.State) {
	id, ok := conversationOf(w.Conversation)
	if !ok || c.outdated(s, id) {
		return
	}
	s.touched(id)
	c.takeState(id, w)
}

// takeState takes over a state, of whatever way it came. c.mu is held.
func (c *Client) takeState(id parley.ConversationID, w *wire.State) *conversation {
	if c.conversations[id] == nil && w.Left {
		return nil // it was never here
	}
	v := c.known(id)
	switch {
	case v.Incarnation != c.meta.Incarnation:
		c.reset(v, w)
	case !v.stated() && !w.Left:
		// What another device of the user has is not new to him, but what came here
		// is told.
		v.Tail = min(parley.Seq(max(w.Delivered, w.Read)), parley.Seq(w.Last))
		if len(v.Held) > 0 {
			v.Tail = min(v.Tail, v.Held[0].From-1)
		}
		v.told, v.tellable = v.Tail, v.Tail
	}
	left := v.Left
	v.adopt(w)
	if left && !v.Left && slices.Contains(c.people.watched, id) {
		c.watchAgain() // the server's watch has ended with the membership
	}
	c.grown(v)
	return v
}

// take adds a message to what a conversation holds. ordinal is 0 where it is
// unknown. c.mu is held.
func (c *Client) take(v *conversation, m Message, ordinal uint64) {
	if m.Seq == 0 {
		return
	}
	c.own(&m)
	if ranges(v.Held).contains(m.Seq) {
		return
	}
	v.hold(parley.SeqRange{From: m.Seq, To: m.Seq})
	v.count(m.Seq, c.tallyOf(&m, ordinal))
	if m.From != c.meta.User {
		v.foreign = max(v.foreign, m.Seq)
	}
	if m.Seq == v.Last && m.Event != nil && m.Event.Type == parley.EventRenamed {
		v.Title, v.named = m.Event.Title, m.Seq
	}
	c.wrote(v, &m)
	if m.At.After(v.Changed) {
		v.Changed = m.At
	}
	if v.Kind == parley.Group && (m.Event != nil || m.From == c.meta.User && !v.membersKnown) {
		v.membersStale = true
	}
	p := c.change()
	p.changes.Messages = append(p.changes.Messages, m)
}

// grown follows up what a conversation holds or has heard of. c.mu is held.
func (c *Client) grown(v *conversation) {
	if !v.stated() || !v.fold() {
		c.askState(v)
	}
	if v.stated() {
		v.advance()
	}
	v.tick()
	c.put(v)
	c.wantPull(v)
}

// askState asks for the state of one conversation. c.mu is held.
func (c *Client) askState(v *conversation) {
	s := c.session
	if s == nil || v.stateDue {
		return
	}
	v.stateDue = true
	id := v.ID
	s.ask(&wire.Request{State: &wire.GetState{Conversation: id[:]}}, func(m *wire.ServerMessage) {
		v.stateDue = false
		switch {
		case m == nil || c.conversations[id] != v || c.outdated(s, id):
		case m.State != nil:
			c.takeState(id, m.State)
		case m.Error != nil && v.stated():
		case m.Error != nil && parley.Code(m.Error.Code).Retry():
			s.syncAgain = true // its end asks again
			c.attend(time.Now().Add(c.o.backoff(1)))
		default:
			c.gone(v) // it is not the user's any more
		}
	})
}
