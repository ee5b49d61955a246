package client

import (
	"bytes"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// syncLimit is how many conversations a page of a sync lists.
const syncLimit = 200

// startSync asks what has changed. A sync that is asked for while one runs
// begins when that one ends: what made it necessary may lie behind a page that
// was read already. c.mu is held.
func (c *Client) startSync(s *session) {
	if s.syncing {
		s.syncAgain = true
		return
	}
	s.syncing, s.syncAgain, s.unavailable = true, false, false
	s.seen = make(map[parley.ConversationID]bool)
	if s.synced {
		s.synced = false
		c.connectionIs(Connection{Online: true})
	}
	cursor := c.meta.Cursor
	if c.meta.Restoring {
		cursor = nil
	}
	c.askSync(s, cursor)
}

func (c *Client) askSync(s *session, cursor []byte) {
	s.ask(&wire.Request{Sync: &wire.Sync{Cursor: cursor, Limit: syncLimit}}, func(m *wire.ServerMessage) {
		switch {
		case m == nil:
		case m.SyncPage != nil:
			c.syncPage(s, m.SyncPage)
		default:
			c.syncFailed(s, m.Error)
		}
	})
}

// syncFailed tries again later. The cursor of a broken file is given up.
func (c *Client) syncFailed(s *session, w *wire.Error) {
	s.syncing = false
	s.syncFails++
	pause := c.o.backoff(s.syncFails)
	if w != nil {
		c.log.Warn("sync refused", "code", w.Code, "message", w.Message)
		pause = max(pause, time.Duration(w.RetryAfterMs)*time.Millisecond)
		if code := parley.Code(w.Code); !code.Retry() && len(c.meta.Cursor) > 0 {
			c.meta.Cursor = nil
			c.putMeta()
		}
	}
	s.syncAgain = true
	c.attend(time.Now().Add(pause))
}

// syncPage takes a page over. The cursor is kept only at the end of a sync: a
// sync that was cut short begins anew, so that what an authoritative one does
// not list is surely gone.
func (c *Client) syncPage(s *session, page *wire.SyncPage) {
	if parley.Incarnation(page.Incarnation) != c.meta.Incarnation {
		s.renew("the store was restored")
		return
	}
	for _, w := range page.States {
		if id, ok := conversationOf(w.Conversation); ok {
			c.syncState(s, id, w)
		}
	}
	s.unavailable = s.unavailable || page.Unavailable
	if page.More {
		c.askSync(s, bytes.Clone(page.Cursor))
		return
	}
	c.synced(s, page)
}

// syncState takes over a state of a sync. It may have been read before a push
// that came already; only "left", which may have no version, can be out of date
// unnoticed.
func (c *Client) syncState(s *session, id parley.ConversationID, w *wire.State) {
	if w.Left && w.Version == 0 && s.seen[id] {
		return
	}
	s.seen[id] = true
	before := parley.Version(0)
	if v := c.conversations[id]; v != nil {
		before = v.Version
	}
	v := c.takeState(id, w)
	if v != nil && v.Kind == parley.Group && v.membersKnown && v.Version != before {
		// Marks of members may have been missed: a state does not hold them.
		v.membersStale = true
		c.wantPull(v)
	}
}

// synced ends a sync.
func (c *Client) synced(s *session, page *wire.SyncPage) {
	s.syncing, s.syncFails = false, 0
	if page.Authoritative && !s.unavailable {
		for id, v := range c.conversations {
			if !s.seen[id] {
				c.gone(v)
			}
		}
	}
	s.seen = nil
	c.meta.Cursor = bytes.Clone(page.Cursor)
	c.meta.Restoring = c.meta.Restoring && s.unavailable
	c.putMeta()
	if c.meta.Restoring {
		s.syncAgain = true
		c.attend(time.Now().Add(c.o.backoff(1)))
		return
	}
	if s.syncAgain {
		c.startSync(s)
		return
	}
	s.synced = true
	c.rewatch(s)
	c.tellSynced()
	for _, v := range c.conversations {
		if !v.stated() {
			c.askState(v)
		}
		c.dueMarks(v)
		c.wantPull(v)
	}
	c.pump()
}

// tellSynced tells so once what the sync brought is durable.
func (c *Client) tellSynced() {
	c.connection = Connection{Online: true, Synced: true}
	c.tell(note{kind: noteConnection})
}

// gone forgets a conversation. Drafts for it stay: the server says what becomes
// of them.
func (c *Client) gone(v *conversation) {
	if v.Incarnation != c.meta.Incarnation {
		c.lose(v, ranges(v.Held), 1)
	}
	delete(c.conversations, v.ID)
	c.unwatch(v.ID)
	p := c.change()
	p.changes.Gone = append(p.changes.Gone, v.ID)
	delete(p.conversations, v)
	c.tell(note{kind: noteGone, conversation: v.ID})
}

// tend does what the clock asks for. c.mu is held.
func (c *Client) tend(now time.Time) {
	c.endTyping(now)
	if s := c.session; s != nil && s.leaving == nil {
		if s.syncAgain && !s.syncing {
			c.startSync(s)
		}
		if s.synced {
			c.rewatch(s)
		}
		c.sendMarks(s)
		c.pullMore(s)
	}
	c.pump()
}
