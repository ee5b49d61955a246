package client

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// conversation is a conversation of the client, with what is not stored.
type conversation struct {
	Conversation

	// after are the messages held above Counted that are not folded into the
	// counts yet, because one before them is missing.
	after map[parley.Seq]tally

	told         parley.Seq // end of what the consumer of events has had
	tellable     parley.Seq // end of what is durable and may be told
	durable      parley.Seq // end of the durable prefix to acknowledge as delivered
	foreign      parley.Seq // the newest message of somebody else that came, as far as known
	restoredFrom parley.Seq // of a Restored that waits, or 0

	sentMarks    parley.Watermarks // on their way to the server in this session
	pulling      bool              // a History is on its way, or waits for its turn
	membersStale bool              // a change may have been missed
	membersKnown bool              // the list is complete
	stateDue     bool              // a GetState is on its way
	pullAt       time.Time         // no pull before
	named        parley.Seq        // the newest renaming that was heard of as a message
}

// tally is what one message adds to the counts.
type tally struct {
	ordinal parley.Ordinal // 0 if unknown
	counts  bool
	own     bool
}

// afterMax bounds the messages that wait to be counted. Past it the counts are
// asked for.
const afterMax = 4096

// stated reports whether a state of the server was heard. Before, the device
// does not know what of the conversation is new to its user.
func (v *conversation) stated() bool { return v.Version > 0 }

// hold takes note of a range that is held now.
func (v *conversation) hold(r parley.SeqRange) {
	v.Held = ranges(v.Held).add(r)
	v.Last = max(v.Last, r.To)
}

// advance moves the tail over what is held.
func (v *conversation) advance() {
	if run, ok := ranges(v.Held).run(v.Tail + 1); ok {
		v.Tail = run.To
	}
}

// prefix is the end of what the device holds without a gap from the watermark
// that the server knows: what it may acknowledge as delivered.
func (v *conversation) prefix() parley.Seq {
	if run, ok := ranges(v.Held).run(v.Confirmed.Delivered + 1); ok {
		return run.To
	}
	return v.Confirmed.Delivered
}

// count takes a message into the counts, once: those up to Counted are in.
func (v *conversation) count(seq parley.Seq, t tally) {
	if seq <= v.Counted {
		return
	}
	if v.after == nil {
		v.after = make(map[parley.Seq]tally)
	}
	if len(v.after) < afterMax {
		v.after[seq] = t
	}
}

// fold counts the messages that follow Counted. It reports false when one is
// held that it knows nothing of: then the counts must be asked for.
func (v *conversation) fold() bool {
	for {
		t, ok := v.after[v.Counted+1]
		if !ok {
			return !ranges(v.Held).contains(v.Counted + 1)
		}
		delete(v.after, v.Counted+1)
		v.Counted++
		if t.counts {
			v.Counts.Ordinal++
		}
		if t.ordinal > 0 {
			v.Counts.Ordinal = t.ordinal
		}
		if t.own && t.counts {
			v.Counts.Own++
		}
	}
}

// tallyOf is what a message adds.
func (c *Client) tallyOf(m *Message, ordinal uint64) tally {
	return tally{ordinal: parley.Ordinal(ordinal), counts: m.Kind.Counts(), own: m.From == c.meta.User && m.From != ""}
}

// recount finds again, after a start, the messages that were not folded.
func (c *Client) recount(v *conversation) error {
	for _, r := range ranges(v.Held).within(parley.SeqRange{From: v.Counted + 1, To: v.Last}) {
		messages, err := c.store.Messages(v.ID, r, afterMax)
		if err != nil {
			return err
		}
		for i := range messages {
			v.count(messages[i].Seq, c.tallyOf(&messages[i], 0))
		}
	}
	v.fold()
	return nil
}

// adopt takes over a state of the server: each part of it by what orders that
// part, so that states, messages and marks may come in any order. The counts at
// a sequence and the marks never change, so the higher ones are the newer ones;
// the rest is ordered by the version.
func (v *conversation) adopt(w *wire.State) {
	version := parley.Version(w.Version)
	if w.Left {
		if version == 0 || version >= v.Version {
			v.Left, v.Role = true, 0
			v.Version = max(v.Version, version)
			v.changed(w.Changed)
		}
		return
	}
	if last := parley.Seq(w.Last); last >= v.Counted && version >= v.Version {
		v.Counted, v.Counts.Ordinal, v.Counts.Own = last, parley.Ordinal(w.Ordinal), w.Own
		for seq := range v.after {
			if seq <= last {
				delete(v.after, seq)
			}
		}
	}
	v.Last = max(v.Last, parley.Seq(w.Last))
	if read := parley.Seq(w.Read); read >= v.Marks.Read {
		v.Marks.Read, v.Counts.ReadOrdinal, v.Counts.OwnAtRead = read, parley.Ordinal(w.ReadOrdinal), w.OwnAtRead
	}
	v.Marks.Delivered = max(v.Marks.Delivered, parley.Seq(w.Delivered))
	// Large groups keep no delivered mark; what was read was delivered.
	v.Confirmed.Delivered = max(v.Confirmed.Delivered, parley.Seq(w.Delivered), parley.Seq(w.Read))
	v.Confirmed.Read = max(v.Confirmed.Read, parley.Seq(w.Read))
	if p := w.Peer; p != nil {
		m := memberOf(p)
		if i, found := v.member(m.User); found && version < v.Version {
			m.Name, m.Picture = v.Members[i].Name, v.Members[i].Picture
		}
		v.raise(m)
	}
	if version < v.Version {
		return
	}
	v.Version, v.Left = version, false
	v.Kind, v.Role = parley.ConversationKind(w.Kind), parley.Role(w.Role)
	if parley.Seq(w.Last) >= v.named {
		v.Title = strings.Clone(w.Title)
	}
	v.MarkedUnread, v.MutedUntil = w.MarkedUnread, timeOf(w.MutedUntil)
	v.changed(w.Changed)
}

func (v *conversation) changed(micros int64) {
	if at := timeOf(micros); at.After(v.Changed) {
		v.Changed = at
	}
}

// raise takes over what is heard of a member. Marks only rise.
func (v *conversation) raise(m Member) {
	i, found := v.member(m.User)
	if !found {
		v.Members = slices.Insert(v.Members, i, m)
		return
	}
	o := &v.Members[i]
	o.Role, o.Name, o.Picture = m.Role, m.Name, m.Picture
	o.Delivered, o.Read = max(o.Delivered, m.Delivered), max(o.Read, m.Read)
}

func (v *conversation) member(user string) (int, bool) {
	return slices.BinarySearchFunc(v.Members, user, func(m Member, u string) int { return cmp.Compare(m.User, u) })
}

// tick raises the ticks to what all others have. They never fall: somebody who
// joins later does not take back what was shown.
func (v *conversation) tick() bool {
	if v.Kind == parley.Group && !v.membersKnown || len(v.Members) == 0 {
		return false
	}
	delivered, read, others := v.Last, v.Last, false
	for i := range v.Members {
		m := &v.Members[i]
		if m.Role == 0 {
			continue
		}
		others = true
		// Large groups keep no delivered mark; who has read has it.
		delivered, read = min(delivered, max(m.Delivered, m.Read)), min(read, m.Read)
	}
	if !others || delivered <= v.Ticks.Delivered && read <= v.Ticks.Read {
		return false
	}
	v.Ticks.Delivered, v.Ticks.Read = max(v.Ticks.Delivered, delivered), max(v.Ticks.Read, read)
	return true
}
