package client

import (
	"bytes"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// A server that was restored from an older copy has lost the newest messages,
// and may have given their sequences to others since. Its log up to the copy is
// the one that this device knows, so for each conversation there is one sequence
// up to which all is as it was, and nothing above it is.
//
// What the device held above the present head is gone. What it held below is in
// doubt: it is shown to nobody until it was compared with the server's, from the
// newest page down to the first message that is the same. Lanes look for their
// drafts, which may be in the copy, and go on in a new stream.

// restore begins the life with a new incarnation. c.mu is held, and everything
// is in the store.
func (c *Client) restore(s *session, incarnation parley.Incarnation) {
	c.log.Warn("the server was restored from an older copy", "incarnation", uint64(incarnation))
	c.meta.Incarnation, c.meta.Restoring, c.meta.Cursor = incarnation, true, nil
	c.useStream(parley.StreamID(s.welcome.Stream))
	for _, l := range c.lanes {
		if len(l.drafts) == 0 {
			c.assign(l, c.meta.Stream, 1)
			l.plan = planNone
			continue
		}
		l.Broken, l.plan = true, planFind
		c.storeLane(l)
	}
}

// reset takes a conversation into the new incarnation, of which w is the first
// state. c.mu is held.
func (c *Client) reset(v *conversation, w *wire.State) {
	last := parley.Seq(w.Last)
	if w.Left {
		last = ranges(v.Held).top() // unknown; the comparison will tell
	}
	old := ranges(v.Held)
	if len(v.Doubt) > 0 {
		for _, r := range v.Doubt { // of yet another restore
			old = old.add(r)
		}
	}
	if old.top() > last {
		c.lose(v, old, last+1)
	}
	next := &conversation{Conversation: Conversation{
		ID: v.ID, Kind: v.Kind, Title: v.Title, Changed: timeOf(w.Changed),
		Tail: min(v.Tail, last), Incarnation: c.meta.Incarnation,
		Doubt: old.within(parley.SeqRange{From: 1, To: last}),
	}}
	next.told, next.tellable = min(v.told, next.Tail), min(v.tellable, next.Tail)
	next.restoredFrom = v.restoredFrom
	next.pulling = v.pulling
	*v = *next
}

// lose takes away what was held from a sequence on. Own messages that this
// device had sent become failed drafts. c.mu is held.
func (c *Client) lose(v *conversation, held ranges, from parley.Seq) {
	lost := held.within(parley.SeqRange{From: from, To: held.top()})
	if len(lost) == 0 {
		return
	}
	for _, r := range lost {
		c.loseOwn(v.ID, r)
	}
	p := c.change()
	p.changes.Cut = append(p.changes.Cut, Cut{v.ID, parley.SeqRange{From: from, To: held.top()}})
	if v.restoredFrom == 0 || from < v.restoredFrom {
		v.restoredFrom = from
	}
	c.tell(note{kind: noteRestored, conversation: v.ID})
}

// loseOwn makes failed drafts of the own messages in a range.
func (c *Client) loseOwn(id parley.ConversationID, r parley.SeqRange) {
	for !r.Empty() {
		messages, err := c.store.Messages(id, r, MessagesMax)
		if err != nil {
			c.giveUp(err)
			return
		}
		for i := range messages {
			if m := &messages[i]; m.From == c.meta.User && slices.Contains(c.meta.Streams, m.Stream) {
				c.unsend(m)
			}
		}
		if len(messages) < MessagesMax {
			return
		}
		r.From = messages[len(messages)-1].Seq + 1
	}
}

// unsend makes a message of this device a failed draft again.
func (c *Client) unsend(m *Message) {
	d := &draft{}
	for i, id := range c.sent {
		if o := c.drafts[id]; o.Conversation == m.Conversation && o.Stream == m.Stream && o.Number == m.Number {
			d = o
			c.sent = slices.Delete(c.sent, i, i+1)
			break
		}
	}
	if d.ID == 0 {
		d.ID = c.meta.NextDraft
		c.meta.NextDraft++
		c.putMeta()
	}
	d.Draft = Draft{ID: d.ID, Conversation: m.Conversation, Stream: m.Stream, Number: m.Number, Kind: m.Kind, Body: m.Body, Status: Failed}
	c.drafts[d.ID] = d
	c.waiting++
	c.waitingBytes += len(d.Body)
	c.change().drafts[d.ID] = d
	c.tell(note{kind: noteDraft, draft: d.ID})
}

// compare holds what is in doubt, up to a sequence, against the server's newest
// page of it. c.mu is held.
func (c *Client) compare(v *conversation, page *wire.Page, top parley.Seq) {
	doubt := ranges(v.Doubt)
	from := max(parley.Seq(page.From), 1)
	same, err := c.sameUpTo(v.ID, page, parley.SeqRange{From: from, To: top})
	if err != nil {
		c.giveUp(err)
		return
	}
	if page.To < page.From { // nothing to read there
		from, same = 1, 0
	}
	first := from // of what is not the server's
	if same > 0 {
		first = same + 1
		for _, r := range doubt.within(parley.SeqRange{From: 1, To: same}) {
			v.hold(r)
		}
		v.Doubt = nil
	} else {
		v.Doubt = doubt.within(parley.SeqRange{From: 1, To: from - 1})
	}
	c.lose(v, doubt, first)
	if first <= v.Tail {
		v.Tail = first - 1
		v.told, v.tellable = min(v.told, v.Tail), min(v.tellable, v.Tail)
	}
	c.takePage(v, page)
}

// sameUpTo is the highest sequence of a range at which the device and a page
// have the same message, 0 if there is none.
func (c *Client) sameUpTo(id parley.ConversationID, page *wire.Page, r parley.SeqRange) (parley.Seq, error) {
	ours, err := c.store.Messages(id, r, pageMax)
	if err != nil {
		return 0, err
	}
	same := parley.Seq(0)
	for _, it := range page.Items {
		if it.Message == nil {
			continue
		}
		theirs := messageOf(id, it.Message)
		for i := range ours {
			if ours[i].same(&theirs) {
				same = max(same, theirs.Seq)
			}
		}
	}
	return same, nil
}

// same reports whether two messages are one.
func (m *Message) same(o *Message) bool {
	return m.Seq == o.Seq && m.From == o.From && m.Stream == o.Stream && m.Number == o.Number &&
		m.Kind == o.Kind && m.At.Equal(o.At) && bytes.Equal(m.Body, o.Body)
}

// forgetDoubt drops what can not be compared.
func (c *Client) forgetDoubt(v *conversation) {
	if doubt := ranges(v.Doubt); len(doubt) > 0 {
		c.lose(v, doubt, 1)
		v.Doubt = nil
		c.put(v)
	}
}
