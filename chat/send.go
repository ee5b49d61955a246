package chat

import (
	"context"
	"fmt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// birthSlack is how far in the future a stream may claim to be born: clocks of
// nodes differ, but a birth far ahead would have later streams forgotten.
const birthSlack = 300 // seconds

// Command makes the command of a send, with its body appended to scratch, or
// refuses what is plainly wrong. The check that counts is apply's.
func (s *Service) Command(scratch []byte, from parley.Identity, d *parley.Draft) (engine.Command, []byte, error) {
	switch {
	case !d.Kind.BySender() || d.Number == 0 || d.Stream == 0:
		return engine.Command{}, scratch, parley.BadRequest
	case int64(d.Stream.Birth()) > s.now().Unix()+birthSlack:
		return engine.Command{}, scratch, fmt.Errorf("%w: a stream of the future", parley.BadRequest)
	case len(d.Body) > s.bodyMax:
		return engine.Command{}, scratch, fmt.Errorf("%w: body of %d bytes, at most %d", parley.TooLarge, len(d.Body), s.bodyMax)
	}
	p := s.engine.Partition(from.Tenant, d.Conversation)
	if !s.isMember(p, from, d.Conversation) {
		return engine.Command{}, scratch, parley.NotMember
	}
	start := len(scratch)
	scratch = appendSend(scratch, from.User, d)
	return engine.Command{
		Partition: p, Kind: kindSend, Version: commandVersion, Tenant: from.Tenant, Body: scratch[start:],
	}, scratch, nil
}

func (s *Service) isMember(p parley.PartitionID, id parley.Identity, c parley.ConversationID) (yes bool) {
	s.engine.View(p, func(v *engine.View) {
		row := rowOf(v, id, c)
		yes = row != nil && row.member(id.User) != nil
	})
	return yes
}

// rowOf is the row of a conversation of the tenant, nil where there is none.
func rowOf(v *engine.View, id parley.Identity, c parley.ConversationID) *conversation {
	slot := v.Find(engine.ConversationKey(c))
	if slot == nil {
		return nil
	}
	row := slot.Row().(*conversation)
	if row.tenant != id.Tenant {
		return nil
	}
	return row
}

// Send makes a message durable, applies it, and returns its receipt. A repeat
// gets the first receipt. A refusal is a parley.Code; with parley.RetryInOrder
// it is an *OrderError.
func (s *Service) Send(ctx context.Context, from parley.Identity, d parley.Draft) (parley.Receipt, error) {
	cmd, _, err := s.Command(nil, from, &d)
	if err != nil {
		return parley.Receipt{}, err
	}
	results, err := s.engine.AppendWait(ctx, cmd)
	if err != nil {
		return parley.Receipt{}, err
	}
	return s.Receipt(ctx, from, &d, results[0])
}

// Receipt turns the result of a send into what its sender is told. For a repeat
// it may have to read the conversation.
func (s *Service) Receipt(ctx context.Context, from parley.Identity, d *parley.Draft, r engine.Result) (parley.Receipt, error) {
	if r.Code != parley.OK {
		return parley.Receipt{}, refusal(r)
	}
	receipt := parley.Receipt{
		Conversation: d.Conversation, Stream: d.Stream, Number: d.Number,
		Seq: r.Seq, Version: r.Version, At: timeOf(r.Time),
	}
	if !r.Repeat {
		return receipt, nil
	}
	first, err := s.Sent(ctx, from, d.Conversation, d.Stream, d.Number)
	if err != nil {
		return parley.Receipt{}, err
	}
	if first.Kind != d.Kind || string(first.Body) != string(d.Body) {
		return parley.Receipt{}, parley.NumberReused
	}
	receipt.Seq, receipt.At = first.Seq, first.At
	return receipt, nil
}

// sentPage is how many messages are read at once in search of one.
const sentPage = 256

// Sent finds the message that a user sent under (stream, number), also when the
// stream is forgotten. It returns parley.ResendUnknown if there is none.
func (s *Service) Sent(ctx context.Context, from parley.Identity, c parley.ConversationID, stream parley.StreamID, n parley.Number) (parley.Message, error) {
	q := search{s: s, p: s.engine.Partition(from.Tenant, c), conversation: c, from: from.User, stream: stream, number: n}
	within := parley.SeqRange{From: 1}
	var newest engine.Stream
	s.engine.View(q.p, func(v *engine.View) {
		row := rowOf(v, from, c)
		if row == nil {
			return
		}
		if i, ok := row.find(from.User); ok {
			within.To = row.members[i].lastOwn
			newest, _ = row.members[i].streams.Known(stream)
		}
	})
	if newest.Seq > 0 {
		if n > newest.Last {
			return parley.Message{}, parley.ResendUnknown
		}
		within.To = newest.Seq - parley.Seq(newest.Last-n)
		return q.narrow(ctx, within, newest.Last)
	}
	return q.walk(ctx, within)
}

// search looks for one send in a conversation.
type search struct {
	s            *Service
	p            parley.PartitionID
	conversation parley.ConversationID
	from         parley.UserID
	stream       parley.StreamID
	number       parley.Number
}

// narrow uses that the numbers of a stream rise with the sequences: it looks
// where the number would stand if they rose evenly, and again on the side where
// it must be. newest is the stream's number at the end of the range or behind.
func (q *search) narrow(ctx context.Context, within parley.SeqRange, newest parley.Number) (parley.Message, error) {
	oldest := parley.Number(0)
	for within.Len() > 2*sentPage {
		share := uint64(q.number-oldest) * within.Len() / (uint64(newest-oldest) + 1)
		middle := within.From + parley.Seq(share)
		page := parley.SeqRange{From: max(within.From, middle-min(middle, sentPage/2)), To: min(within.To, middle+sentPage/2)}
		found, near, err := q.read(ctx, page)
		switch {
		case err != nil || found.Seq > 0:
			return found, err
		case near.Seq == 0:
			return q.walk(ctx, within) // the stream is silent here
		case near.Number > q.number:
			within.To, newest = near.Seq-parley.Seq(near.Number-q.number), near.Number
		default:
			within.From, oldest = near.Seq+parley.Seq(q.number-near.Number), near.Number
		}
	}
	return q.walk(ctx, within)
}

// walk reads the range from its end, page by page.
func (q *search) walk(ctx context.Context, within parley.SeqRange) (parley.Message, error) {
	for !within.Empty() {
		page := within
		if page.Len() > sentPage {
			page.From = page.To - sentPage + 1
		}
		found, _, err := q.read(ctx, page)
		if err != nil || found.Seq > 0 {
			return found, err
		}
		within.To = page.From - 1
	}
	return parley.Message{}, parley.ResendUnknown
}

// read looks through a page. near is the page's message of the stream whose
// number is nearest.
func (q *search) read(ctx context.Context, page parley.SeqRange) (found, near parley.Message, err error) {
	for m, err := range q.s.engine.Read(ctx, q.p, q.conversation, page) {
		if err != nil {
			return found, near, err
		}
		if m.Kind != kindSend {
			continue
		}
		from, stream, number, _ := sendOf(m.Body)
		if from != q.from || stream != q.stream {
			continue
		}
		if number == q.number {
			found, _ = view(q.conversation, &m)
			found.Body = append([]byte(nil), found.Body...)
			return found, near, nil
		}
		if near.Seq == 0 || number < q.number {
			near = parley.Message{Seq: m.Seq, Number: number}
		}
	}
	return found, near, nil
}

// Acknowledgement raises one member's watermarks in one conversation.
type Acknowledgement struct {
	Conversation parley.ConversationID
	parley.Watermarks
}

// Acknowledge raises a user's watermarks: Delivered up to which some device of
// his holds every message, Read up to which he has seen them. Marks beyond the
// last message count up to it; lower ones than before change nothing.
func (s *Service) Acknowledge(ctx context.Context, id parley.Identity, acks ...Acknowledgement) error {
	bodies := make(map[parley.PartitionID][]byte)
	var order []parley.PartitionID
	for _, a := range acks {
		p := s.engine.Partition(id.Tenant, a.Conversation)
		m, err := s.facts(ctx, p, id, a)
		if err != nil {
			return err
		}
		if bodies[p] == nil {
			bodies[p] = appendU16(nil, 0)
			order = append(order, p)
		}
		b := appendMark(bodies[p], m)
		n := uint16(b[0]) | uint16(b[1])<<8
		b[0], b[1] = byte(n+1), byte((n+1)>>8)
		bodies[p] = b
	}
	if len(order) == 0 {
		return nil
	}
	cmds := make([]engine.Command, 0, len(order))
	for _, p := range order {
		cmds = append(cmds, engine.Command{Partition: p, Kind: kindMarks, Version: commandVersion, Tenant: id.Tenant, Body: bodies[p]})
	}
	results, err := s.engine.AppendWait(ctx, cmds...)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Code != parley.OK {
			return refusal(r)
		}
	}
	return nil
}

// facts looks up what a mark must say of messages that stand already: how many
// count up to the one read, and how many of those are the reader's own.
func (s *Service) facts(ctx context.Context, p parley.PartitionID, id parley.Identity, a Acknowledgement) (mark, error) {
	k := mark{conversation: a.Conversation, user: id.User}
	var lastOwn, last parley.Seq
	found := false
	s.engine.View(p, func(v *engine.View) {
		row := rowOf(v, id, a.Conversation)
		if row == nil {
			return
		}
		m := row.member(id.User)
		if m == nil {
			return
		}
		found = true
		last = v.Find(engine.ConversationKey(a.Conversation)).Last()
		lastOwn = m.lastOwn
		k.own, k.ordinal = m.own, row.ordinal
	})
	if !found {
		return k, parley.NotMember
	}
	k.delivered, k.read = min(a.Delivered, last), min(a.Read, last)
	if k.read == 0 {
		k.own, k.ordinal = 0, 0
		return k, nil
	}
	if k.read == last {
		return k, nil
	}
	for m, err := range s.engine.Read(ctx, p, a.Conversation, parley.SeqRange{From: k.read, To: max(k.read, lastOwn)}) {
		if err != nil {
			return k, err
		}
		if m.Seq == k.read {
			k.ordinal = m.Ordinal
			continue
		}
		if m.Kind == kindSend {
			if from, _, _, kind := sendOf(m.Body); from == id.User && kind.Counts() {
				k.own--
			}
		}
	}
	return k, nil
}
