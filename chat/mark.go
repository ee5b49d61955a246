package chat

import (
	"context"
	"errors"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Acknowledgement raises one member's watermarks in one conversation.
type Acknowledgement struct {
	Conversation parley.ConversationID
	parley.Watermarks
}

// ErrFacts reports an acknowledgement for which older messages must be read:
// Service.Acknowledge reads them, and may wait for a disk.
var ErrFacts = errors.New("chat: what the mark says must be read from the log")

// mark raises a member's watermarks.
func (m *Machine) mark(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	k := d.mark()
	if !d.whole() {
		return refuse(parley.BadRequest)
	}
	slot, row, who := conversationOf(tx, c, k.conversation, k.user)
	if who == nil {
		return refuse(parley.NotMember)
	}
	if k.read > slot.Last() || k.delivered > slot.Last() || k.ordinal > row.ordinal || k.own > who.own {
		return refuse(parley.BadRequest)
	}
	large := m.large(tx, row)
	delivered := max(k.delivered, k.read)
	if large {
		delivered = 0 // kept for no member of a large group
	}
	if delivered <= who.delivered && k.read <= who.read {
		return engine.Result{Repeat: true, Version: row.version}
	}
	tx.Change(slot)
	rose := k.read > who.read
	who.delivered = max(who.delivered, delivered)
	if rose {
		who.read, who.ordinal, who.ownAtRead = k.read, k.ordinal, k.own
		who.unread = false
	}
	m.changed(tx, k.conversation, row)
	if large { // else changed has stamped every list in this hour
		tx.Touch(k.user, k.conversation)
	}
	t := Told{
		Conversation: k.conversation, Version: row.version, command: c,
		Marker: k.user, Marks: parley.Watermarks{Delivered: who.delivered, Read: who.read},
		ReadRose: rose, Last: slot.Last(),
	}
	if large {
		t.only = k.user // the others ask: each telling all would be the square of the members
	}
	m.tell(tx, t, row)
	return engine.Result{Version: row.version}
}

// Acknowledge raises a user's watermarks: Delivered up to which some device of
// his holds every message, Read up to which he has seen them. Marks beyond the
// last message count up to it; lower ones than before change nothing. The error
// is the first refusal; the others are raised all the same.
func (s *Service) Acknowledge(ctx context.Context, id parley.Identity, acks ...Acknowledgement) error {
	var first error
	refused := func(err error) {
		if first == nil {
			first = err
		}
	}
	var cmds []engine.Command
	for _, a := range acks {
		l, err := s.look(id, a)
		if err != nil {
			refused(err)
			continue
		}
		if err := s.read(ctx, &l); err != nil {
			return err
		}
		if l.raises {
			cmds = append(cmds, l.command(id, appendMark(nil, l.mark)))
		}
	}
	if len(cmds) == 0 {
		return first
	}
	results, err := s.engine.AppendWait(ctx, cmds...)
	if err != nil {
		return err
	}
	for i := range results {
		if err := refusal(&results[i]); err != nil {
			refused(err)
		}
	}
	return first
}

// lookup is a mark on its way: what memory knows of it, and what the log must
// still say.
type lookup struct {
	mark
	partition parley.PartitionID
	slot      *engine.Slot
	version   parley.Version // of the conversation
	raises    bool           // else it is no news

	// rest is what to read, from 0 if the facts are known: always the message
	// marked read, for its ordinal.
	rest parley.SeqRange
	side side
}

// side says where the reader's own messages are that must be counted, if any.
type side uint8

const (
	before side = iota + 1 // from his present mark to the one read: added to mark.own
	behind                 // behind the one read: taken from mark.own
)

// asks reports whether the log must be read for the facts.
func (l *lookup) asks() bool { return l.rest.From != 0 }

func (l *lookup) command(id parley.Identity, body []byte) engine.Command {
	return engine.Command{Partition: l.partition, Kind: kindMark, Version: commandVersion, Tenant: id.Tenant, Body: body, Slot: l.slot}
}

// lookBackMax bounds the messages in memory that are looked through for a
// mark's facts while a partition waits.
const lookBackMax = 256

// look finds a mark's facts as far as memory has them: how many messages count
// up to the one read, and how many of those are the reader's own. Both are
// about messages that stand already, so whatever is applied between the look and
// the mark does not change them.
func (s *Service) look(id parley.Identity, a Acknowledgement) (l lookup, err error) {
	l.partition = s.engine.Partition(id.Tenant, a.Conversation)
	l.conversation, l.user = a.Conversation, id.User
	err = parley.NotMember
	s.engine.View(l.partition, func(v *engine.View) {
		slot, row := rowOf(v, id, a.Conversation)
		if row == nil {
			return
		}
		if m := row.member(id.User); m != nil {
			err = nil
			l.find(v, slot, row, m, a.Watermarks)
		}
	})
	return l, err
}

func (l *lookup) find(v *engine.View, slot *engine.Slot, row *conversation, m *member, marks parley.Watermarks) {
	last := slot.Last()
	l.slot, l.version = slot, row.version
	l.delivered = min(marks.Delivered, last)
	l.raises = l.delivered > m.delivered && row.present < int(obeyedBy(v).fanoutMax)
	if min(marks.Read, last) <= m.read {
		return
	}
	l.raises, l.read = true, min(marks.Read, last)
	l.ordinal, l.own = row.ordinal, m.own
	if l.read == last || l.countBack(v, slot) {
		return
	}
	l.ordinal, l.own = 0, m.own
	l.rest = parley.SeqRange{From: l.read, To: l.read}
	switch {
	case m.lastOwn <= l.read:
	case m.lastOwn-l.read < l.read-m.read:
		l.rest.To, l.side = m.lastOwn, behind
	default:
		// Each message is counted in this way at most once for a member, for
		// his mark is behind it then.
		l.rest.From, l.own, l.side = m.read+1, m.ownAtRead, before
	}
}

// countBack takes the messages behind the one read from the facts of the last,
// if they are few and in memory.
func (l *lookup) countBack(v *engine.View, slot *engine.Slot) bool {
	left := slot.Last() - l.read
	if left > lookBackMax {
		return false
	}
	v.Newest(slot, func(m engine.Message) bool {
		if m.Kind == kindSend {
			from, _, _, kind := sendOf(m.Body)
			if kind.Counts() {
				l.ordinal--
			}
			if kind.Counts() && from == l.user {
				l.own--
			}
		}
		left--
		return left > 0
	})
	return left == 0
}

// read completes the facts from the log.
func (s *Service) read(ctx context.Context, l *lookup) error {
	if !l.asks() {
		return nil
	}
	for m, err := range s.engine.Read(ctx, l.partition, l.conversation, l.rest) {
		if err != nil {
			return err
		}
		if m.Seq == l.read {
			l.ordinal = m.Ordinal
		}
		if m.Kind != kindSend {
			continue
		}
		from, _, _, kind := sendOf(m.Body)
		switch {
		case from != l.user || !kind.Counts():
		case l.side == before:
			l.own++
		case l.side == behind && m.Seq > l.read:
			l.own--
		}
	}
	return nil
}
