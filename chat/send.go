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

// check refuses what is plainly wrong with a send, and makes its command, but
// for the body. The check that counts is apply's.
func (s *Service) check(from parley.Identity, d *parley.Draft, now int64) (engine.Command, error) {
	switch {
	case !d.Kind.BySender() || d.Number == 0 || d.Stream == 0:
		return engine.Command{}, parley.BadRequest
	case int64(d.Stream.Birth()) > now+birthSlack:
		return engine.Command{}, fmt.Errorf("%w: a stream of the future", parley.Unavailable)
	case len(d.Body) > s.bodyMax:
		return engine.Command{}, fmt.Errorf("%w: body of %d bytes, at most %d", parley.TooLarge, len(d.Body), s.bodyMax)
	}
	c := sendCommand(s.engine.Partition(from.Tenant, d.Conversation), from, nil)
	s.engine.View(c.Partition, func(v *engine.View) {
		if slot, row := rowOf(v, from, d.Conversation); row != nil && row.member(from.User) != nil {
			c.Slot = slot
		}
	})
	if c.Slot == nil {
		return engine.Command{}, parley.NotMember
	}
	return c, nil
}

// rowOf is the row of a conversation of the tenant, nil where there is none.
func rowOf(v *engine.View, id parley.Identity, c parley.ConversationID) (*engine.Slot, *conversation) {
	slot := v.Find(engine.ConversationKey(c))
	if slot == nil {
		return nil, nil
	}
	row := slot.Row().(*conversation)
	if row.tenant != id.Tenant {
		return nil, nil
	}
	return slot, row
}

// Send makes a message durable, applies it, and returns its receipt. A repeat
// gets the first receipt. A refusal is a parley.Code; with parley.RetryInOrder
// it is an *OrderError.
func (s *Service) Send(ctx context.Context, from parley.Identity, d parley.Draft) (parley.Receipt, error) {
	c, err := s.check(from, &d, s.now().Unix())
	if err != nil {
		return parley.Receipt{}, err
	}
	c.Body = appendSend(nil, from.User, &d)
	results, err := s.engine.AppendWait(ctx, c)
	if err != nil {
		return parley.Receipt{}, err
	}
	r := &results[0]
	switch {
	case r.Code != parley.OK:
		return parley.Receipt{}, refusal(r)
	case r.Repeat:
		return s.Repeated(ctx, from, &d)
	}
	return parley.Receipt{
		Conversation: d.Conversation, Stream: d.Stream, Number: d.Number,
		Seq: r.Seq, Version: r.Version, At: timeOf(r.Time),
	}, nil
}

func sendCommand(p parley.PartitionID, from parley.Identity, body []byte) engine.Command {
	return engine.Command{Partition: p, Kind: kindSend, Version: commandVersion, Tenant: from.Tenant, Body: body}
}

// Repeated is the first receipt of a send that was applied before, read from
// the conversation; its version is 0. If another body was sent then, it is
// parley.NumberReused.
func (s *Service) Repeated(ctx context.Context, from parley.Identity, d *parley.Draft) (parley.Receipt, error) {
	first, err := s.Sent(ctx, from, d.Conversation, d.Stream, d.Number)
	if err != nil {
		return parley.Receipt{}, err
	}
	if first.Kind != d.Kind || string(first.Body) != string(d.Body) {
		return parley.Receipt{}, parley.NumberReused
	}
	return parley.Receipt{
		Conversation: d.Conversation, Stream: d.Stream, Number: d.Number, Seq: first.Seq, At: first.At,
	}, nil
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
		_, row := rowOf(v, from, c)
		if row == nil {
			return
		}
		if i, ok := row.find(from.User); ok {
			within.To = row.members[i].lastOwn
			newest, _ = row.members[i].streams.Known(stream)
		}
	})
	switch {
	case newest.Seq == 0:
		return q.walk(ctx, within)
	case n > newest.Last:
		return parley.Message{}, parley.ResendUnknown
	case n == newest.Last:
		return q.walk(ctx, parley.SeqRange{From: newest.Seq, To: newest.Seq})
	}
	within.To = newest.Seq - parley.Seq(newest.Last-n)
	return q.narrow(ctx, within, newest.Last)
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

// narrow uses that the numbers of a stream rise with the sequences: it looks at
// the end of the range, for what is sent again was mostly sent just now, then
// where the number would stand if they rose evenly, and again on the side where
// it must be. newest is the stream's number at the end of the range or behind.
func (q *search) narrow(ctx context.Context, within parley.SeqRange, newest parley.Number) (parley.Message, error) {
	oldest := parley.Number(0)
	page := parley.SeqRange{From: within.To - min(within.To, sentPage) + 1, To: within.To}
	for within.Len() > 2*sentPage {
		found, near, err := q.read(ctx, page)
		switch {
		case err != nil || found.Seq > 0:
			return found, err
		case near.Seq == 0 && page.To == within.To:
			within.To = page.From - 1
		case near.Seq == 0:
			return q.walk(ctx, within) // the stream is silent here
		case near.Number > q.number:
			within.To, newest = near.Seq-parley.Seq(near.Number-q.number), near.Number
		default:
			within.From, oldest = near.Seq+parley.Seq(q.number-near.Number), near.Number
		}
		share := uint64(q.number-oldest) * within.Len() / (uint64(newest-oldest) + 1)
		middle := within.From + parley.Seq(share)
		page = parley.SeqRange{From: max(within.From, middle-min(middle, sentPage/2)), To: min(within.To, middle+sentPage/2)}
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
