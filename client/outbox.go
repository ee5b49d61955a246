package client

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// lane is the outbox of one conversation. Its drafts go out pipelined: several
// are on their way at once, in the order of their numbers.
//
// What the server promises is the rule that the whole file rests on: of a
// stream it takes number n+1 only after n. So when a draft is refused, those
// behind it that are already on their way are refused too, with retry_in_order,
// and none of them overtakes it. After any refusal the lane therefore sends
// nothing, waits until all that is on its way is answered, and then does what
// the worst answer asks for (see plan).
//
// A number may be used again only when nothing that was ever written under it
// can still arrive. Bytes of an earlier connection can, after the client has
// given it up: they may lie in a buffer of the server's. So a number that was
// freed by a refusal is used again only inside the connection in which every
// draft behind it was written for the first time, and was answered. In every
// other case the rest of the lane moves to a new stream: in the old one the
// freed number stays empty for ever, and so nothing late is taken there.
type lane struct {
	Lane
	drafts []*draft // queued, in the order of their numbers

	sent     int // of drafts, how many have been written in this session
	inFlight int // unanswered sends and searches of this session
	plan     plan
	freed    parley.Number // the lowest number that a refusal has freed
	until    time.Time     // nothing is done before
	attempts int           // refusals to retry in a row
	queued   bool          // in Client.busy
}

// plan is what a lane does once all that is on its way is answered; of two, the
// higher.
type plan uint8

const (
	planNone     plan = iota
	planResend        // send all that is unanswered again, under the same numbers
	planRenumber      // a draft was refused for good: those behind it move up
	planFind          // look for each draft at the server; what is not there goes to a new stream
)

// draft is a draft of the outbox, with what is not stored.
type draft struct {
	Draft
	generation uint64 // in which it is stored as it stands here; it is written only after
	written    bool   // under its number, and not answered since: it may be at the server
	earlier    bool   // was written in an earlier session, whose bytes may still arrive
	refused    *Refusal
}

// oldest is the id of the lane's first draft, 0 if it has none.
func (l *lane) oldest() uint64 {
	if len(l.drafts) == 0 {
		return 0
	}
	return l.drafts[0].ID
}

// lane is the outbox of a conversation, made if there is none. c.mu is held.
func (c *Client) lane(id parley.ConversationID) *lane {
	l := c.lanes[id]
	if l == nil {
		l = &lane{Lane: Lane{Conversation: id, Stream: c.meta.Stream, Next: 1}}
		c.lanes[id] = l
	}
	return l
}

// store has a lane and drafts of it stored. c.mu is held.
func (c *Client) storeLane(l *lane, drafts ...*draft) {
	p := c.change()
	p.lanes[l] = true
	for _, d := range drafts {
		d.generation = p.generation
		p.drafts[d.ID] = d
	}
}

// Send puts a message into the outbox and returns once it is durable there. It
// goes out by itself, after all earlier ones of its conversation; DraftChanged
// tells what became of it. The body must not be changed any more.
//
// An outbox that is full is parley.Overloaded, a body that the server would not
// take parley.TooLarge; then nothing was stored.
func (c *Client) Send(id parley.ConversationID, kind parley.Kind, body []byte) (Draft, error) {
	if !kind.BySender() {
		return Draft{}, fmt.Errorf("client: %w: no client sends messages of kind %v", parley.BadRequest, kind)
	}
	c.mu.Lock()
	d, err := c.enter(id, kind, body)
	if err != nil {
		c.mu.Unlock()
		return Draft{}, err
	}
	out, p := d.Draft, c.change()
	c.mu.Unlock()
	return out, c.await(p)
}

// SendText is Send of a text.
func (c *Client) SendText(id parley.ConversationID, text string) (Draft, error) {
	return c.Send(id, parley.KindText, []byte(text))
}

// enter gives a draft the next number of its lane. c.mu is held.
func (c *Client) enter(id parley.ConversationID, kind parley.Kind, body []byte) (*draft, error) {
	if err := c.usable(); err != nil {
		return nil, err
	}
	if c.waiting >= c.o.OutboxMax || c.waitingBytes+len(body) > c.o.OutboxBytesMax {
		return nil, fmt.Errorf("client: %d drafts wait: %w", c.waiting, parley.Overloaded)
	}
	if err := c.fits(body); err != nil {
		return nil, err
	}
	l := c.lane(id)
	d := &draft{Draft: Draft{
		ID: c.meta.NextDraft, Conversation: id, Stream: l.Stream, Number: l.Next, Kind: kind, Body: body, Status: Queued,
	}}
	c.meta.NextDraft++
	c.putMeta()
	l.Next++
	l.drafts = append(l.drafts, d)
	c.drafts[d.ID] = d
	c.waiting++
	c.waitingBytes += len(body)
	delete(c.people.typed, id) // the message itself ends it
	c.storeLane(l, d)
	c.enqueue(l)
	return d, nil
}

// fits refuses a body that the server would.
func (c *Client) fits(body []byte) error {
	if c.meta.BodyMax > 0 && len(body) > c.meta.BodyMax {
		return fmt.Errorf("client: a body of %d bytes: %w", len(body), parley.TooLarge)
	}
	return nil
}

// Draft is a draft of this device. Of those that were sent, the last 1,000 are
// kept; their status goes on to Delivered and Read.
func (c *Client) Draft(id uint64) (Draft, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.drafts[id]
	if d == nil {
		return Draft{}, fmt.Errorf("%w: draft %d", ErrUnknown, id)
	}
	out := d.Draft
	if v := c.conversations[d.Conversation]; v != nil && out.Status == Sent {
		out.Status = v.Tick(out.Seq)
	}
	return out, nil
}

// Drafts are the queued and failed drafts of a conversation, the oldest first.
func (c *Client) Drafts(id parley.ConversationID) []Draft {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Draft
	for _, d := range c.drafts {
		if d.Conversation == id && d.Status != Sent {
			all = append(all, d.Draft)
		}
	}
	slices.SortFunc(all, func(a, b Draft) int { return int(int64(a.ID) - int64(b.ID)) })
	return all
}

// errNotFailed reports a draft that is on its way or sent.
var errNotFailed = errors.New("client: the draft has not failed")

// Resend puts a failed draft into the outbox anew, behind what is there, and
// returns the draft that took its place.
func (c *Client) Resend(id uint64) (Draft, error) {
	c.mu.Lock()
	old, err := c.failed(id)
	if err == nil {
		err = c.fits(old.Body)
	}
	if err != nil {
		c.mu.Unlock()
		return Draft{}, err
	}
	c.drop(old) // which makes the room that the new one takes
	d, err := c.enter(old.Conversation, old.Kind, old.Body)
	if err != nil {
		c.mu.Unlock()
		return Draft{}, err
	}
	out, p := d.Draft, c.change()
	c.mu.Unlock()
	return out, c.await(p)
}

// Discard forgets a failed draft.
func (c *Client) Discard(id uint64) error {
	c.mu.Lock()
	d, err := c.failed(id)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.drop(d)
	p := c.change()
	c.mu.Unlock()
	return c.await(p)
}

func (c *Client) failed(id uint64) (*draft, error) {
	d := c.drafts[id]
	switch {
	case c.usable() != nil:
		return nil, c.usable()
	case d == nil:
		return nil, fmt.Errorf("%w: draft %d", ErrUnknown, id)
	case d.Status != Failed:
		return nil, fmt.Errorf("%w: draft %d", errNotFailed, id)
	}
	return d, nil
}

// drop takes a failed draft out of the store.
func (c *Client) drop(d *draft) {
	delete(c.drafts, d.ID)
	c.waiting--
	c.waitingBytes -= len(d.Body)
	p := c.change()
	p.changes.Dropped = append(p.changes.Dropped, d.ID)
	c.notes.forget(note{kind: noteDraft, draft: d.ID})
}

// enqueue gives a lane its turns.
func (c *Client) enqueue(l *lane) {
	if !l.queued && (len(l.drafts) > 0 || l.plan != planNone) {
		l.queued = true
		c.busy = append(c.busy, l)
	}
}

// sendable reports whether a draft could be written now. c.mu is held.
func (c *Client) sendable() bool {
	now := time.Now()
	for _, l := range c.busy {
		if l.plan == planNone && l.sent < len(l.drafts) || l.plan != planNone && !now.Before(l.until) {
			return true
		}
	}
	return false
}

// pump writes drafts while the window has room, one of each lane in turn. Only
// what is durable is written: after a crash the same number must have the same
// body. c.mu is held.
func (c *Client) pump() {
	s := c.session
	if s == nil || c.meta.Restoring || s.leaving != nil {
		return
	}
	now := time.Now()
	for idle := 0; idle < len(c.busy) && s.sends < s.window && s.leaving == nil; {
		l := c.busy[0]
		c.busy = c.busy[1:]
		worked := c.turn(s, l, now)
		if len(l.drafts) == 0 && l.plan == planNone {
			l.queued = false
			continue
		}
		c.busy = append(c.busy, l)
		if worked {
			idle = 0
		} else {
			idle++
		}
	}
}

// turn does one thing for a lane, and reports whether it did.
func (c *Client) turn(s *session, l *lane, now time.Time) bool {
	if l.plan != planNone {
		if l.inFlight > 0 {
			return false
		}
		if now.Before(l.until) {
			c.attend(l.until)
			return false
		}
		c.follow(s, l)
		return true
	}
	if l.sent == len(l.drafts) {
		return false
	}
	if l.Stream == 0 {
		c.assign(l, c.meta.Stream, 1)
		return true
	}
	d := l.drafts[l.sent]
	if d.generation > c.applied {
		return false
	}
	d.earlier = d.earlier || d.written
	d.written = true
	l.sent++
	l.inFlight++
	s.sends++
	s.ask(sendOf(&d.Draft), func(m *wire.ServerMessage) { c.answered(s, l, d, m) })
	return true
}

// follow carries out the plan of a lane that has nothing on its way.
func (c *Client) follow(s *session, l *lane) {
	p := l.plan
	if p == planFind {
		c.find(s, l, 0)
		return
	}
	l.plan, l.sent = planNone, 0
	if p == planRenumber {
		from := l.freed
		if len(l.drafts) > 0 { // those in front of the freed number keep theirs
			from = min(from, l.drafts[0].Number)
		}
		c.assign(l, l.Stream, from)
	}
}

// assign gives the drafts of a lane a stream, and numbers from one on.
func (c *Client) assign(l *lane, stream parley.StreamID, from parley.Number) {
	l.sent, l.freed, l.Broken = 0, 0, false
	for i, d := range l.drafts {
		d.Stream, d.Number = stream, from+parley.Number(i)
		d.written, d.earlier = false, false
	}
	l.Stream, l.Next = stream, from+parley.Number(len(l.drafts))
	c.storeLane(l, l.drafts...)
}

// answered takes the answer to a draft; nil when the connection ended first.
func (c *Client) answered(s *session, l *lane, d *draft, m *wire.ServerMessage) {
	if m == nil {
		return // see lost
	}
	l.inFlight--
	s.sends--
	switch {
	case d.Status != Queued: // settled by its own message, which came before
	case m.Sent != nil:
		l.attempts = 0
		c.arrived(l, d, parley.Seq(m.Sent.Seq), timeOf(m.Sent.At))
	case m.Error != nil:
		d.written = false
		c.refusedSend(s, l, d, refusalOf(m.Error))
	default:
		c.log.Warn("a send was answered with something else", "answer", m)
		l.plan = max(l.plan, planResend)
	}
	c.enqueue(l)
	c.pump()
}

// refusedSend decides what a refusal asks for.
func (c *Client) refusedSend(s *session, l *lane, d *draft, r *Refusal) {
	switch {
	case r.Code == parley.NumberReused:
		// Something else is stored under this number. The number is used up, so
		// those behind it are not held up.
		c.fail(l, d, r)
	case r.Code == parley.ResendUnknown:
		l.plan = planFind
	case r.Code == parley.RetryInOrder:
		if !l.Broken && r.Expected < l.drafts[0].Number {
			// The server knows less of the stream than was acknowledged.
			l.plan = planFind
		}
		c.retry(l, r)
	case r.Code.Retry():
		c.retry(l, r)
	case r.Code == parley.Revoked:
		l.plan = max(l.plan, planResend) // of a session that ends now
		c.giveUp(fmt.Errorf("%w: %w", ErrRevoked, r))
	case r.Code >= 3000:
		s.renew("the server wants another login")
		c.retry(l, r)
	case d.earlier:
		// It may have been stored before, when it would have been taken, or be
		// stored now. That is looked up before it counts as failed.
		d.refused = r
		l.Broken = true
		l.plan = planFind
		l.until = time.Now().Add(c.o.lateWait)
		c.attend(l.until)
		c.storeLane(l)
	default:
		if l.freed == 0 || d.Number < l.freed {
			l.freed = d.Number
		}
		l.Broken = true
		l.plan = max(l.plan, planRenumber)
		c.fail(l, d, r)
		if slices.ContainsFunc(l.drafts, func(d *draft) bool { return d.earlier }) {
			l.plan = planFind // late bytes of theirs must find the gap still there
		}
	}
}

// retry has a lane send again what is unanswered, after a pause. Those behind a
// refused draft come back with retry_in_order, which is no reason to wait: only
// when it happens again and again.
func (c *Client) retry(l *lane, r *Refusal) {
	if l.plan == planNone {
		l.attempts++ // the first refusal of this round
	}
	l.plan = max(l.plan, planResend)
	if r.Code == parley.RetryInOrder && l.attempts <= roundsAtOnce {
		return
	}
	if until := time.Now().Add(max(r.RetryAfter, c.o.backoff(l.attempts))); until.After(l.until) {
		l.until = until
	}
	c.attend(l.until)
}

// roundsAtOnce is how often retry_in_order is followed without a pause.
const roundsAtOnce = 4

// arrived makes a draft a message.
func (c *Client) arrived(l *lane, d *draft, seq parley.Seq, at time.Time) {
	m := Message{
		Conversation: d.Conversation, Seq: seq, From: c.meta.User, Stream: d.Stream, Number: d.Number,
		Kind: d.Kind, At: at, Body: d.Body,
	}
	c.sentAs(l, d, seq, at)
	v := c.known(d.Conversation)
	c.take(v, m, 0)
	c.grown(v)
}

// sentAs takes a draft out of its lane: it is the message seq now.
func (c *Client) sentAs(l *lane, d *draft, seq parley.Seq, at time.Time) {
	c.leave(l, d)
	c.waitingBytes -= len(d.Body)
	c.waiting--
	d.Status, d.Seq, d.At, d.Body = Sent, seq, at, nil
	c.storeLane(l, d)
	c.tell(note{kind: noteDraft, draft: d.ID})
	c.sent = append(c.sent, d.ID)
	if len(c.sent) > sentMax {
		old := c.sent[0]
		c.sent = c.sent[1:]
		delete(c.drafts, old)
		p := c.change()
		p.changes.Dropped = append(p.changes.Dropped, old)
		c.notes.forget(note{kind: noteDraft, draft: old})
	}
}

// sentMax is how many drafts that were sent are kept, for their status.
const sentMax = 1000

// fail takes a draft out of its lane with the server's reason.
func (c *Client) fail(l *lane, d *draft, r *Refusal) {
	c.leave(l, d)
	d.Status, d.Code, d.Reason = Failed, r.Code, r.Message
	c.storeLane(l, d)
	c.tell(note{kind: noteDraft, draft: d.ID})
}

// leave takes a draft out of its lane.
func (c *Client) leave(l *lane, d *draft) {
	i := slices.Index(l.drafts, d)
	if i < 0 {
		return
	}
	l.drafts = slices.Delete(l.drafts, i, i+1)
	if i < l.sent {
		l.sent--
	}
}

// find looks at the server for the drafts of a lane, from the nth on, one after
// the other. What was stored is settled; what was not has failed if it was
// refused, and else goes to a new stream.
func (c *Client) find(s *session, l *lane, n int) {
	if s.leaving != nil {
		return // the plan stands
	}
	for n < len(l.drafts) && !l.drafts[n].written && !l.drafts[n].earlier {
		n++
	}
	if n == len(l.drafts) {
		c.restream(s, l)
		return
	}
	d := l.drafts[n]
	l.inFlight++
	s.sends++
	q := &wire.FindSent{Conversation: bytes.Clone(d.Conversation[:]), Stream: uint64(d.Stream), Number: uint32(d.Number)}
	s.ask(&wire.Request{FindSent: q}, func(m *wire.ServerMessage) {
		if m == nil {
			return
		}
		l.inFlight--
		s.sends--
		c.found(s, l, d, n, m)
		c.enqueue(l)
		c.pump()
	})
}

// found takes the answer to a search.
func (c *Client) found(s *session, l *lane, d *draft, n int, m *wire.ServerMessage) {
	switch {
	case d.Status != Queued: // settled meanwhile
	case m.Sent != nil:
		c.arrived(l, d, parley.Seq(m.Sent.Seq), timeOf(m.Sent.At))
	case m.Error != nil && parley.Code(m.Error.Code).Retry() && parley.Code(m.Error.Code) != parley.ResendUnknown:
		c.retry(l, refusalOf(m.Error))
		return // the plan stands: all over again, later
	case d.refused != nil:
		c.fail(l, d, d.refused)
	default:
		d.written, d.earlier = false, false
		n++
	}
	c.find(s, l, n)
}

// restream moves a lane to the stream that this session was given. Where the
// lane uses that one already, another login gives another.
func (c *Client) restream(s *session, l *lane) {
	stream := parley.StreamID(s.welcome.Stream)
	if stream == l.Stream {
		s.renew("a new stream is needed")
		return
	}
	l.plan = planNone
	c.assign(l, stream, 1)
	c.useStream(stream)
}

// streamsMax bounds the streams that a device remembers to have used.
const streamsMax = 64

// useStream makes a stream that of conversations to come.
func (c *Client) useStream(stream parley.StreamID) {
	c.meta.Stream = stream
	if !slices.Contains(c.meta.Streams, stream) {
		c.meta.Streams = append(c.meta.Streams, stream)
		if len(c.meta.Streams) > streamsMax {
			c.meta.Streams = slices.Delete(c.meta.Streams, 0, 1)
		}
	}
	c.putMeta()
}

// lost prepares the lanes for the next session: nothing is on its way any more,
// and what was may have arrived.
func (c *Client) lost() {
	for _, l := range c.lanes {
		l.sent, l.inFlight = 0, 0
		if l.Broken {
			l.plan = planFind
		} else if l.plan != planFind {
			l.plan = planNone
		}
		c.enqueue(l)
	}
}

// own matches a message with the draft that it was: its receipt may have been
// lost, or its refusal been given to a repeat while the first was still on its
// way. c.mu is held.
func (c *Client) own(m *Message) {
	if m.From != c.meta.User || !slices.Contains(c.meta.Streams, m.Stream) {
		return
	}
	is := func(d *draft) bool {
		return d.Stream == m.Stream && d.Number == m.Number && d.Kind == m.Kind && bytes.Equal(d.Body, m.Body)
	}
	l := c.lane(m.Conversation)
	for _, d := range l.drafts {
		if is(d) && (d.written || d.earlier) {
			c.sentAs(l, d, m.Seq, m.At)
			return
		}
	}
	for _, d := range c.drafts {
		if d.Status == Failed && d.Code != parley.OK && d.Conversation == m.Conversation && is(d) {
			d.Code, d.Reason = parley.OK, ""
			c.sentAs(l, d, m.Seq, m.At)
			return
		}
	}
}
