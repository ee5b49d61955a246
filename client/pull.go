package client

import (
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

const (
	// pageMax is how many messages the server gives in one page.
	pageMax = 200
	// pullsMax is how many conversations are read at once.
	pullsMax = 4
)

// wantPull has a conversation read if something of it is missing: each has at
// most one request on its way or waiting. c.mu is held.
func (c *Client) wantPull(v *conversation) {
	s := c.session
	if s == nil || v.pulling || !v.stated() || c.conversations[v.ID] != v || !c.lacks(v) {
		return
	}
	v.pulling = true
	c.pulls = append(c.pulls, v)
	c.pullMore(s)
}

// lacks reports whether a conversation has something to read.
func (c *Client) lacks(v *conversation) bool {
	return len(v.Doubt) > 0 || v.membersStale && !v.Left || !v.Left && v.Tail < v.Last
}

// pullMore begins reading while there is room. c.mu is held.
func (c *Client) pullMore(s *session) {
	now := time.Now()
	for range len(c.pulls) {
		if s.pulling == pullsMax || s.leaving != nil {
			return
		}
		v := c.pulls[0]
		c.pulls = c.pulls[1:]
		if now.Before(v.pullAt) {
			c.pulls = append(c.pulls, v)
			c.attend(v.pullAt)
			continue
		}
		s.pulling++
		c.pull(s, v)
	}
}

// pull reads one part of what a conversation lacks.
func (c *Client) pull(s *session, v *conversation) {
	q := &wire.Request{}
	id, last := v.ID, v.Last
	missing := ranges(v.Held).missing(parley.SeqRange{From: v.Tail + 1, To: v.Last})
	jump := false
	var doubt parley.Seq
	switch {
	case len(v.Doubt) > 0:
		doubt = ranges(v.Doubt).top()
		q.History = &wire.History{Conversation: id[:], To: uint64(doubt), Backward: true, Limit: pageMax}
	case v.Left || len(missing) == 0:
		q.Members = &wire.ListMembers{Conversation: id[:]}
	case missing.size() > uint64(c.o.CatchUpMax):
		jump = true
		q.History = &wire.History{Conversation: id[:], To: uint64(v.Last), Backward: true, Limit: pageMax}
	default:
		r := missing[0]
		q.History = &wire.History{Conversation: id[:], From: uint64(r.From), To: uint64(r.To), Limit: pageMax}
	}
	s.ask(q, func(m *wire.ServerMessage) {
		s.pulling--
		if m == nil || c.conversations[id] != v {
			v.pulling = false
			return
		}
		again := c.pulled(v, m, doubt, jump) || v.Last > last
		v.pulling = false // only now: what came is not reason enough to ask again
		if again {
			c.wantPull(v)
		}
		c.pullMore(s)
	})
}

// pulled takes the answer, and reports whether to go on.
func (c *Client) pulled(v *conversation, m *wire.ServerMessage, doubt parley.Seq, jump bool) bool {
	switch {
	case m.Members != nil:
		c.takeMembers(v, m.Members)
	case m.Page != nil && doubt > 0:
		c.compare(v, m.Page, doubt)
	case m.Page != nil:
		before := v.Tail
		c.takePage(v, m.Page)
		if run, ok := ranges(v.Held).run(v.Last); jump && ok && run.From > v.Tail {
			v.Tail = run.To // and a hole stays behind
			c.put(v)
		}
		// A page that brings nothing is not asked for again until something comes.
		return v.Tail > before
	case m.Error != nil:
		c.log.Warn("a conversation could not be read", "conversation", v.ID, "code", m.Error.Code, "message", m.Error.Message)
		if !parley.Code(m.Error.Code).Retry() {
			c.forgetDoubt(v)
			return false
		}
		v.pullAt = time.Now().Add(max(c.o.backoff(1), time.Duration(m.Error.RetryAfterMs)*time.Millisecond))
	}
	return true
}

// takePage adds a page to what a conversation holds, whoever asked for it.
// c.mu is held.
func (c *Client) takePage(v *conversation, page *wire.Page) {
	for _, it := range page.Items {
		switch {
		case it.Message != nil && it.Message.Seq >= page.From && it.Message.Seq <= page.To:
			c.take(v, messageOf(v.ID, it.Message), it.Message.Ordinal)
		case it.Withheld != nil:
			v.hold(parley.SeqRange{From: max(parley.Seq(it.Withheld.From), 1), To: min(parley.Seq(it.Withheld.To), parley.Seq(page.To))})
		}
	}
	v.Last = max(v.Last, parley.Seq(page.Last))
	c.grown(v)
}

// takeMembers takes over who belongs to a conversation.
func (c *Client) takeMembers(v *conversation, w *wire.Members) {
	v.membersStale, v.membersKnown = false, true
	for i := range v.Members {
		v.Members[i].Role = 0
	}
	for _, m := range w.Members {
		if m.User != c.meta.User {
			v.raise(memberOf(m))
		}
	}
	v.tick()
	c.put(v)
}
