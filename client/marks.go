package client

import (
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

const (
	// marksWait is how long an acknowledgement waits for others to ride along.
	marksWait = 5 * time.Millisecond
	// marksMax bounds the marks of one acknowledgement.
	marksMax = 256
)

// MarkRead says that the user has seen every message up to a sequence; 0 means
// all that the device has heard of. A lower one than before changes nothing. It
// is told to the server at once, or when there is a connection again.
func (c *Client) MarkRead(id parley.ConversationID, seq parley.Seq) error {
	c.mu.Lock()
	if err := c.usable(); err != nil {
		c.mu.Unlock()
		return err
	}
	v := c.conversations[id]
	if v == nil {
		c.mu.Unlock()
		return ErrUnknown
	}
	if seq == 0 || seq > v.Last {
		seq = v.Last
	}
	if seq <= v.Marks.Read {
		c.mu.Unlock()
		return nil
	}
	v.Marks.Read = seq
	messages := ranges(v.Held).within(parley.SeqRange{From: seq + 1, To: v.Counted})
	c.put(v)
	p := c.change()
	c.mu.Unlock()
	if err := c.await(p); err != nil {
		return err
	}
	return c.countRead(v, seq, messages)
}

// countRead follows with the counts: what counts up to the mark is what counts
// in all, less what the messages behind it add. Where the device does not hold
// all of those, the server's answer brings the counts.
func (c *Client) countRead(v *conversation, seq parley.Seq, behind ranges) error {
	var counting, own uint64
	held := behind.size()
	if held <= MessagesMax {
		for _, r := range behind {
			messages, err := c.store.Messages(v.ID, r, MessagesMax)
			if err != nil {
				return err
			}
			for i := range messages {
				t := c.tallyOf(&messages[i], 0)
				if t.counts {
					counting++
				}
				if t.counts && t.own {
					own++
				}
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	end := seq + parley.Seq(held) // what was looked at, if it is without a gap
	if v.Marks.Read == seq && v.Counted == end && uint64(v.Counts.Ordinal) >= counting && held <= MessagesMax {
		v.Counts.ReadOrdinal = v.Counts.Ordinal - parley.Ordinal(counting)
		v.Counts.OwnAtRead = v.Counts.Own - own
		c.put(v)
	} else {
		c.askState(v)
	}
	c.dueMarks(v)
	return nil
}

// dueMarks has acknowledgements of conversations sent soon, together with
// others. c.mu is held.
func (c *Client) dueMarks(of ...*conversation) {
	for _, v := range of {
		if v.mark() != nil {
			c.unmarked[v] = true
		}
	}
	if c.session != nil && len(c.unmarked) > 0 {
		c.attend(time.Now().Add(marksWait))
	}
}

// mark is what the server is to be told, nil if it knows. Delivered is the end
// of what is durable here without a gap. One's own messages alone are no reason
// to tell: nobody waits for their tick.
func (v *conversation) mark() *wire.Mark {
	if !v.stated() || v.Left || len(v.Doubt) > 0 {
		return nil
	}
	known := parley.Watermarks{
		Delivered: max(v.Confirmed.Delivered, v.sentMarks.Delivered),
		Read:      max(v.Confirmed.Read, v.sentMarks.Read),
	}
	arrived := v.durable > known.Delivered && v.foreign > known.Delivered
	if !arrived && v.Marks.Read <= known.Read {
		return nil
	}
	id := v.ID
	return &wire.Mark{Conversation: id[:], Delivered: uint64(max(v.durable, known.Delivered)), Read: uint64(v.Marks.Read)}
}

// sendMarks tells the server what it does not know. One request is on its way at
// a time: what comes up meanwhile rides with the next. c.mu is held.
func (c *Client) sendMarks(s *session) {
	if s.acknowledging > 0 || c.meta.Restoring {
		return
	}
	var marks []*wire.Mark
	var of []*conversation
	for v := range c.unmarked {
		if len(marks) == marksMax {
			break
		}
		delete(c.unmarked, v)
		if m := v.mark(); m != nil && c.conversations[v.ID] == v {
			marks, of = append(marks, m), append(of, v)
			v.sentMarks = parley.Watermarks{Delivered: parley.Seq(m.Delivered), Read: parley.Seq(m.Read)}
		}
	}
	if len(marks) == 0 {
		return
	}
	s.acknowledging++
	s.ask(&wire.Request{Acknowledge: &wire.Acknowledge{Marks: marks}}, func(m *wire.ServerMessage) {
		s.acknowledging--
		switch {
		case m == nil:
		case m.Done != nil:
			c.confirmed(of)
		default:
			c.marksRefused(of, m.Error)
		}
	})
}

// confirmed takes note of what the server knows now.
func (c *Client) confirmed(of []*conversation) {
	for _, v := range of {
		if c.conversations[v.ID] != v {
			continue
		}
		v.Confirmed.Delivered = max(v.Confirmed.Delivered, v.sentMarks.Delivered)
		v.Confirmed.Read = max(v.Confirmed.Read, v.sentMarks.Read)
		v.Marks.Delivered = max(v.Marks.Delivered, v.Confirmed.Delivered)
		c.put(v)
	}
	c.dueMarks(of...)
}

// marksRefused tries again later what may be taken then. Of several marks the
// server took those that it could; what it refuses for good, the next session
// tries once more.
func (c *Client) marksRefused(of []*conversation, w *wire.Error) {
	if w != nil && parley.Code(w.Code).Retry() {
		for _, v := range of {
			v.sentMarks = parley.Watermarks{}
			c.unmarked[v] = true
		}
		c.attend(time.Now().Add(max(c.o.backoff(2), time.Duration(w.RetryAfterMs)*time.Millisecond)))
		return
	}
	c.log.Debug("acknowledgement refused", "error", w)
	c.dueMarks()
}
