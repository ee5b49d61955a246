package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// callsMax bounds the calls that are on their way at once; others wait.
const callsMax = 16

// call asks the server and waits for the answer, also for a connection. What
// the server refuses for now is asked again until the context is done. repeat
// says that asking twice does no harm: then a lost answer is asked for again,
// and is else ErrInterrupted. take is called with c.mu held.
func (c *Client) call(ctx context.Context, q *wire.Request, repeat bool, take func(*wire.ServerMessage)) error {
	return c.callAs(ctx, func() *wire.Request { return proto.Clone(q).(*wire.Request) }, repeat, take)
}

// callAs is a call that may ask something else each time. request is called with
// c.mu held.
func (c *Client) callAs(ctx context.Context, request func() *wire.Request, repeat bool, take func(*wire.ServerMessage)) error {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for attempt := 0; ; attempt++ {
		err := c.callOnce(ctx, request, take)
		var pause time.Duration
		switch refused, ok := errors.AsType[*Refusal](err); {
		case ok && refused.Code.Retry():
			pause = max(refused.RetryAfter, c.o.backoff(attempt))
		case repeat && errors.Is(err, ErrInterrupted):
		default:
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (c *Client) callOnce(ctx context.Context, request func() *wire.Request, take func(*wire.ServerMessage)) error {
	s, err := c.waitOnline(ctx)
	if err != nil {
		return err
	}
	answered := make(chan error, 1)
	abandoned := false // guarded by c.mu
	s.calls++
	s.ask(request(), func(m *wire.ServerMessage) {
		s.calls--
		switch {
		case abandoned:
		case m == nil:
			answered <- ErrInterrupted
		case m.Error != nil:
			answered <- refusalOf(m.Error)
		default:
			take(m)
			answered <- nil
		}
	})
	c.mu.Unlock()
	select {
	case err := <-answered:
		if err != nil {
			return err
		}
		return c.committed()
	case <-ctx.Done():
		c.mu.Lock()
		abandoned = true
		c.mu.Unlock()
		return context.Cause(ctx)
	}
}

// CreateDirect makes the conversation with another user, or finds it.
func (c *Client) CreateDirect(ctx context.Context, peer string) (Conversation, error) {
	return c.create(ctx, &wire.Create{Peer: peer}, true)
}

// CreateGroup makes a group. After ErrInterrupted it may be there.
func (c *Client) CreateGroup(ctx context.Context, title string, members ...string) (Conversation, error) {
	return c.create(ctx, &wire.Create{Title: title, Members: members}, false)
}

func (c *Client) create(ctx context.Context, q *wire.Create, repeat bool) (made Conversation, err error) {
	found := false
	err = c.call(ctx, &wire.Request{Create: q}, repeat, func(m *wire.ServerMessage) {
		if m.State == nil {
			return
		}
		id, ok := conversationOf(m.State.Conversation)
		if !ok || c.outdated(c.session, id) {
			return
		}
		c.session.touched(id)
		if v := c.takeState(id, m.State); v != nil {
			made, found = v.clone(), true
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("client: the server did not say what it made: %w", parley.Unavailable)
	}
	return made, err
}

// AddMembers adds users to a group.
func (c *Client) AddMembers(ctx context.Context, id parley.ConversationID, users ...string) error {
	return c.done(ctx, &wire.Request{ChangeMembers: &wire.ChangeMembers{Conversation: id[:], Add: users}}, false)
}

// RemoveMember removes a user from a group.
func (c *Client) RemoveMember(ctx context.Context, id parley.ConversationID, user string) error {
	return c.done(ctx, &wire.Request{ChangeMembers: &wire.ChangeMembers{Conversation: id[:], Remove: []string{user}}}, false)
}

// Leave takes the user himself out of a group.
func (c *Client) Leave(ctx context.Context, id parley.ConversationID) error {
	return c.RemoveMember(ctx, id, c.User())
}

// SetRole gives a member of a group a role.
func (c *Client) SetRole(ctx context.Context, id parley.ConversationID, user string, role parley.Role) error {
	return c.done(ctx, &wire.Request{SetRole: &wire.SetRole{Conversation: id[:], User: user, Role: wire.Role(role)}}, true)
}

// Rename gives a group another title. After ErrInterrupted it may have it.
func (c *Client) Rename(ctx context.Context, id parley.ConversationID, title string) error {
	return c.done(ctx, &wire.Request{Rename: &wire.Rename{Conversation: id[:], Title: title}}, false)
}

// Mute mutes a conversation until a time, on all devices of the user; the zero
// time ends it.
func (c *Client) Mute(ctx context.Context, id parley.ConversationID, until time.Time) error {
	micros := microsOf(until)
	return c.done(ctx, &wire.Request{Prefer: &wire.Prefer{Conversation: id[:], MuteUntil: &micros}}, true)
}

// MarkUnread sets or clears the flag "unread" of a conversation, on all devices
// of the user. It changes no watermark.
func (c *Client) MarkUnread(ctx context.Context, id parley.ConversationID, unread bool) error {
	if unread {
		// A read mark that came to the server after the flag would clear it.
		if err := c.tellRead(ctx, id); err != nil {
			return err
		}
	}
	return c.done(ctx, &wire.Request{Prefer: &wire.Prefer{Conversation: id[:], MarkUnread: &unread}}, true)
}

// tellRead has the server know how far the user has read.
func (c *Client) tellRead(ctx context.Context, id parley.ConversationID) error {
	c.mu.Lock()
	v := c.conversations[id]
	known := v == nil || v.Marks.Read <= v.Confirmed.Read
	c.mu.Unlock()
	if known {
		return nil
	}
	// The store may be restored before the call is written, or while it is on its
	// way: what was read of another incarnation is not told in this one.
	read := parley.Seq(0)
	ask := func() *wire.Request {
		read = 0
		if v.Incarnation == c.meta.Incarnation {
			read = v.Marks.Read
		}
		return &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: id[:], Read: uint64(read)}}}}
	}
	return c.callAs(ctx, ask, true, func(*wire.ServerMessage) {
		if c.conversations[id] == v {
			v.Confirmed.Read = max(v.Confirmed.Read, read)
			c.put(v)
		}
	})
}

func (c *Client) done(ctx context.Context, q *wire.Request, repeat bool) error {
	return c.call(ctx, q, repeat, func(*wire.ServerMessage) {})
}

// Members asks who belongs to a conversation, the user himself among them.
func (c *Client) Members(ctx context.Context, id parley.ConversationID) (members []Member, err error) {
	err = c.call(ctx, &wire.Request{Members: &wire.ListMembers{Conversation: id[:]}}, true, func(m *wire.ServerMessage) {
		if m.Members == nil {
			return
		}
		for _, w := range m.Members.Members {
			members = append(members, memberOf(w))
		}
		if v := c.conversations[id]; v != nil {
			c.takeMembers(v, m.Members)
		}
	})
	return members, err
}

// History has the device hold a range of a conversation, and returns its
// messages. It asks the server only for what is missing. To 0 means the last
// sequence. Of more than MessagesMax sequences it reads the last; earlier ones
// are read by calling again.
func (c *Client) History(ctx context.Context, id parley.ConversationID, r parley.SeqRange) ([]Message, error) {
	for {
		messages, holes, err := c.Messages(id, r)
		if err != nil || len(holes) == 0 {
			return messages, err
		}
		hole := holes[len(holes)-1]
		filled := false
		q := &wire.History{Conversation: id[:], From: uint64(hole.From), To: uint64(hole.To), Backward: true, Limit: pageMax}
		err = c.call(ctx, &wire.Request{History: q}, true, func(m *wire.ServerMessage) {
			if v := c.conversations[id]; v != nil && m.Page != nil && v.Incarnation == c.meta.Incarnation {
				c.takePage(v, m.Page)
				filled = ranges(v.Held).missing(hole).size() < hole.Len()
			}
		})
		if err != nil {
			return nil, err
		}
		if !filled {
			return messages, fmt.Errorf("client: history of %v from %d to %d: the server gave nothing: %w", id, hole.From, hole.To, parley.Unavailable)
		}
	}
}
