package cluster

import (
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// typingAtOnce is to how many sessions the caller of Submit tells that somebody
// types; a worker tells more.
const typingAtOnce = 64

// typing passes on that a user writes. It is answered at once.
func (r *Router) typing(session wire.SessionID, who parley.Identity, q *wire.Request) error {
	c, err := conversationOf(q.Typing.Conversation)
	if err != nil {
		return err
	}
	if !r.belongs(who, c) {
		return parley.NotMember
	}
	active := q.Typing.Active
	to := r.watches.typing(session, who, place{who.Tenant, c}, active, time.Now())
	switch {
	case len(to) > typingAtOnce:
		if err := r.enqueue(job{session: session, who: who, request: &wire.Request{}, then: func() { r.tellTyping(who, c, active, to) }, hint: true}); err != nil {
			r.watches.slow.Add(1) // what is not told is as if it came too often
		}
	case len(to) > 0:
		r.tellTyping(who, c, active, to)
	}
	r.reply(session, q.Id, &wire.ServerMessage{Done: &wire.Done{}})
	r.sockets.Flush()
	return nil
}

// tellTyping tells those who still belong.
func (r *Router) tellTyping(who parley.Identity, c parley.ConversationID, active bool, to []seer) {
	sessions := make([]wire.SessionID, 0, len(to))
	for _, s := range to {
		if r.belongs(s.who, c) {
			sessions = append(sessions, s.session)
		}
	}
	r.hint(sessions, &wire.ServerMessage{Typing: &wire.Typing{Conversation: c[:], Active: active, User: r.subject(who.User)}})
}
