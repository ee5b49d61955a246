package engine

import (
	"sync"

	"github.com/parleychat/parley"
)

// Listed is a line of a user's list: a conversation and the hour (since 1970)
// in which it last showed him something new, or in which it left the list.
type Listed struct {
	Conversation parley.ConversationID
	Hour         uint32
	Left         bool
}

// index is the list of conversations of each user: derived from the log,
// stamped by the hour, so that a message seldom moves it.
type index struct {
	mu    sync.RWMutex // guards below
	users map[parley.UserID]map[parley.ConversationID]stamp
}

type touch struct {
	user         parley.UserID
	conversation parley.ConversationID
}

type stamp struct {
	hour uint32
	left bool
}

func hourOf(micros int64) uint32 { return uint32(micros / 3_600_000_000) }

// touch raises a stamp, and notes it in the head where it changed.
func (x *index) touch(h *head, u parley.UserID, c parley.ConversationID, hour uint32, left bool) {
	s := stamp{hour, left}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.put(u, c, s) {
		h.touched[touch{u, c}] = s
	}
}

func (x *index) put(u parley.UserID, c parley.ConversationID, s stamp) bool {
	list := x.users[u]
	if list == nil {
		list = make(map[parley.ConversationID]stamp)
		x.users[u] = list
	}
	if old, ok := list[c]; ok && old == s {
		return false
	}
	list[c] = s
	return true
}

// Conversations lists the conversations of a user, in no order.
func (e *Engine) Conversations(u parley.UserID) []Listed {
	e.index.mu.RLock()
	defer e.index.mu.RUnlock()
	list := make([]Listed, 0, len(e.index.users[u]))
	for c, s := range e.index.users[u] {
		list = append(list, Listed{Conversation: c, Hour: s.hour, Left: s.left})
	}
	return list
}

// Common lists the conversations that stand on the lists of both users, in no
// order. It looks through the shorter list, and through no more than so many of its
// lines.
func (e *Engine) Common(a, b parley.UserID, lines int) []parley.ConversationID {
	e.index.mu.RLock()
	defer e.index.mu.RUnlock()
	short, long := e.index.users[a], e.index.users[b]
	if len(short) > len(long) {
		short, long = long, short
	}
	var list []parley.ConversationID
	for c, s := range short {
		if lines--; lines < 0 {
			break
		}
		if o, ok := long[c]; ok && !s.left && !o.left {
			list = append(list, c)
		}
	}
	return list
}
