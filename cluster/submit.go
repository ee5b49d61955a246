package cluster

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// submission is the sends and acknowledgements of one read of a session, on
// their way through the log. It is used again, and so are the answers in it: a
// warm one allocates nothing.
type submission struct {
	router *Router
	batch  *chat.Batch

	// Set by Submit, read when the batch is done.
	session wire.SessionID
	entries []entry

	draft parley.Draft // what Submit is adding
	bytes int          // of the bodies in the batch

	// Answers, each with its reply around it.
	sent      wire.Sent
	sentReply wire.ServerMessage
	done      wire.Done
	doneReply wire.ServerMessage
	who       parley.Identity
}

// entry is a request in a submission, with the outcomes that decide its answer.
type entry struct {
	id      uint32
	send    bool // else an acknowledgement
	first   int  // outcome in the batch
	count   int
	refusal parley.Code // of a mark that was refused at once
}

// A submission that has carried more is not kept, so that a burst of large
// messages does not hold memory for ever. So many are kept.
const (
	keptBytesMax = 64 << 10
	keptMax      = 1024
)

func (r *Router) newSubmission() *submission {
	s := &submission{router: r}
	s.batch = r.service.NewBatch(s.complete)
	s.sentReply.Sent = &s.sent
	s.doneReply.Done = &s.done
	return s
}

// take is a submission to fill, nil where too many are on their way.
func (r *Router) take() *submission {
	r.poolMu.Lock()
	if r.live >= r.opts.SubmissionsMax {
		r.poolMu.Unlock()
		return nil
	}
	r.live++
	var s *submission
	if n := len(r.free); n > 0 {
		s, r.free[n-1] = r.free[n-1], nil
		r.free = r.free[:n-1]
	}
	r.poolMu.Unlock()
	if s == nil {
		s = r.newSubmission()
	}
	return s
}

func (r *Router) put(s *submission) {
	s.batch.Reset()
	s.entries = s.entries[:0]
	keep := s.bytes <= keptBytesMax
	s.bytes = 0
	r.poolMu.Lock()
	r.live--
	if keep && len(r.free) < keptMax {
		r.free = append(r.free, s)
	}
	r.poolMu.Unlock()
}

// Submit takes the requests that one read of a session brought, in order. It
// neither waits nor keeps anything of them. Each is answered once by
// Sockets.Reply: at once, by the applier, or by a worker.
func (r *Router) Submit(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
	r.counters.requests.Add(uint64(len(requests)))
	s := r.take()
	if s != nil {
		s.session, s.who, s.batch.Origin = session, who, uint64(session)
	}
	now := false // something was answered here
	for _, q := range requests {
		if err := r.route(s, session, who, q); err != nil {
			r.refuse(session, q.Id, err)
			now = true
		}
	}
	if s != nil && r.hand(s) {
		now = true
	}
	if now {
		r.sockets.Flush()
	}
}

// route sends a request on its way. An error is its answer.
func (r *Router) route(s *submission, session wire.SessionID, who parley.Identity, q *wire.Request) error {
	if q.Send == nil && q.Acknowledge == nil {
		return r.routeOther(session, who, q)
	}
	if s == nil {
		r.counters.overloadedSubmissions.Add(1)
		return parley.Overloaded
	}
	if q.Send != nil {
		return s.addSend(q)
	}
	facts, err := s.addMarks(q)
	if facts {
		// The marks that are in the batch do no harm there: the worker raises
		// them again.
		return r.queue(job{session: session, who: who, request: q})
	}
	return err
}

// routeOther sends on its way what is no traffic of messages.
func (r *Router) routeOther(session wire.SessionID, who parley.Identity, q *wire.Request) error {
	j := job{session: session, who: who, request: q}
	switch {
	case q.Typing != nil:
		return r.typing(session, who, q)
	case q.Watch != nil:
		j.turn = r.watches.ask(session, who)
	}
	return r.queue(j)
}

func (s *submission) addSend(q *wire.Request) error {
	if err := draftOf(&s.draft, q.Send); err != nil {
		return err
	}
	at, err := s.batch.Send(s.who, &s.draft)
	s.bytes += len(s.draft.Body)
	s.draft.Body = nil
	if err != nil {
		return err
	}
	s.entries = append(s.entries, entry{id: q.Id, send: true, first: at, count: 1})
	return nil
}

// addMarks adds the marks of an acknowledgement, each for itself: one that is
// refused does not hold up the others, and is the answer. facts says that a mark
// needs what only the log knows.
func (s *submission) addMarks(q *wire.Request) (facts bool, err error) {
	marks := q.Acknowledge.Marks
	if len(marks) == 0 {
		return false, fmt.Errorf("%w: no marks", parley.BadRequest)
	}
	e := entry{id: q.Id}
	for _, m := range marks {
		a, err := acknowledgementOf(m)
		if err != nil {
			return false, err
		}
		at, err := s.batch.Acknowledge(s.who, a)
		switch {
		case errors.Is(err, chat.ErrFacts):
			return true, nil
		case err != nil:
			e.refuse(codeOf(err))
			continue
		}
		if e.count == 0 {
			e.first = at
		}
		e.count = at - e.first + 1
	}
	if e.count == 0 {
		return false, e.refusal
	}
	s.entries = append(s.entries, e)
	return false, nil
}

// refuse keeps the first refusal.
func (e *entry) refuse(c parley.Code) {
	if e.refusal == parley.OK {
		e.refusal = c
	}
}

// hand appends the batch. It reports whether its requests were answered
// instead.
func (r *Router) hand(s *submission) (answered bool) {
	if s.batch.Len() == 0 {
		r.put(s)
		return false
	}
	idle := s.batch.Idle()
	err := s.batch.Append()
	if err == nil {
		return idle // else s is the applier's
	}
	s.refuseAll(err)
	r.put(s)
	return true
}

// complete answers the requests of a batch that is durable and applied. The
// applier calls it, and then Delivered; or Append does, if the batch is idle.
func (s *submission) complete(*chat.Batch) {
	if err := s.batch.Err(); err != nil {
		s.refuseAll(err)
	} else {
		for i := range s.entries {
			s.answer(&s.entries[i])
		}
	}
	s.router.put(s)
}

func (s *submission) refuseAll(err error) {
	for i := range s.entries {
		s.router.refuse(s.session, s.entries[i].id, err)
	}
}

func (s *submission) answer(e *entry) {
	if e.send {
		s.answerSend(e)
		return
	}
	for i := e.first; i < e.first+e.count; i++ {
		e.refuse(s.batch.Outcome(i).Code)
	}
	if e.refusal != parley.OK {
		s.router.refuse(s.session, e.id, e.refusal)
		return
	}
	s.router.reply(s.session, e.id, &s.doneReply)
}

func (s *submission) answerSend(e *entry) {
	r := s.router
	o := s.batch.Outcome(e.first)
	switch {
	case o.Code == parley.RetryInOrder:
		r.refuse(s.session, e.id, &chat.OrderError{Expected: o.Expected})
	case o.Code != parley.OK:
		r.refuse(s.session, e.id, o.Code)
	case o.Repeat:
		// The first receipt is in the conversation; and there the whole body is
		// compared, of which apply knows a hash.
		r.queueRepeat(s.session, s.who, e.id, s.batch.Draft(e.first))
	default:
		s.sent.Seq, s.sent.Version, s.sent.At = uint64(o.Seq), uint64(o.Version), o.At
		r.reply(s.session, e.id, &s.sentReply)
	}
}

// reply answers a request. Success is not told to one that wants no answer.
func (r *Router) reply(session wire.SessionID, id uint32, m *wire.ServerMessage) {
	if id == 0 {
		r.sockets.Reply(session, nil)
		return
	}
	m.ReplyTo = id
	r.sockets.Reply(session, m)
}

// draftOf reads a send. The draft's body is the request's own memory.
func draftOf(d *parley.Draft, s *wire.Send) error {
	c, err := conversationOf(s.Conversation)
	if err != nil {
		return err
	}
	if s.Kind < wire.Kind_KIND_TEXT || s.Kind > wire.Kind_KIND_CIPHERTEXT {
		return fmt.Errorf("%w: no client sends messages of kind %d", parley.BadRequest, s.Kind)
	}
	body := s.Data
	if s.Kind == wire.Kind_KIND_TEXT {
		if len(s.Data) > 0 {
			return fmt.Errorf("%w: a text with data", parley.BadRequest)
		}
		body = unsafe.Slice(unsafe.StringData(s.Text), len(s.Text)) // the batch copies it
	} else if s.Text != "" {
		return fmt.Errorf("%w: text in a message of kind %d", parley.BadRequest, s.Kind)
	}
	d.Conversation, d.Stream, d.Number = c, parley.StreamID(s.Stream), parley.Number(s.Number)
	d.Kind, d.Body = parley.Kind(s.Kind), body
	return nil
}

func acknowledgementOf(m *wire.Mark) (chat.Acknowledgement, error) {
	c, err := conversationOf(m.Conversation)
	return chat.Acknowledgement{
		Conversation: c,
		Watermarks:   parley.Watermarks{Delivered: parley.Seq(m.Delivered), Read: parley.Seq(m.Read)},
	}, err
}

func conversationOf(b []byte) (parley.ConversationID, error) {
	if len(b) != len(parley.ConversationID{}) {
		return parley.ConversationID{}, fmt.Errorf("%w: conversation of %d bytes", parley.BadRequest, len(b))
	}
	return parley.ConversationID(b), nil
}
