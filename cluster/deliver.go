package cluster

import (
	"time"
	"unsafe"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// delivery is what Deliver uses again. It belongs to the applier.
type delivery struct {
	message      wire.Message
	messagePush  wire.ServerMessage
	marks        wire.MarksChanged
	marksPush    wire.ServerMessage
	state        wire.State
	statePush    wire.ServerMessage
	peer         wire.Member
	conversation parley.ConversationID
	shown        chat.State

	to  []parley.UserID // recipients of one push
	due []dueState
	at  map[listed]int // in due
}

// listed names a conversation in a user's list.
type listed struct {
	user         parley.UserID
	conversation parley.ConversationID
}

// dueState is a list that shows something new.
type dueState struct {
	listed
	tenant  parley.TenantID
	version parley.Version
	changed time.Time      // of a membership event; else zero
	but     wire.SessionID // who knows already; 0 if all are to be told
}

// Deliver implements chat.Deliverer: it tells those who are online here what was
// applied. Messages and marks go out in the order in which they were applied,
// and then, once each, the lists that look different: as they are now, after all
// of it.
func (r *Router) Deliver(told []chat.Told) {
	d := &r.delivery
	d.begin()
	for i := range told {
		t := &told[i]
		if e := t.Message.Event; e != nil {
			r.regroup(t, e) // a session may watch that is at its end, and counts as online no more
		}
		if !r.anyOnline(t.To) {
			continue
		}
		r.counters.delivered.Add(1)
		switch {
		case t.Seq > 0:
			r.pushMessage(t)
			if t.Message.Event != nil {
				r.due(t, 0, t.To...)
			}
		case !t.Marker.IsZero():
			r.pushMarks(t)
			r.dueMark(t)
		default: // a direct conversation was made, or somebody's own setting changed
			r.due(t, 0, t.To...)
		}
	}
	for i := range d.due {
		r.pushState(&d.due[i])
	}
}

// Delivered implements chat.Deliverer: pushes and the receipts that followed them
// leave together.
func (r *Router) Delivered() { r.sockets.Flush() }

func (d *delivery) begin() {
	if d.at == nil {
		d.at = make(map[listed]int)
		d.messagePush.Message, d.marksPush.Marks, d.statePush.State = &d.message, &d.marks, &d.state
	}
	clear(d.at)
	d.due = d.due[:0]
}

func (r *Router) anyOnline(users []parley.UserID) bool {
	for _, u := range users {
		if r.sockets.Online(u, 0) {
			return true
		}
	}
	return false
}

// pushMessage passes a message to all its recipients' sessions but the one that
// sent it: that one gets the receipt.
func (r *Router) pushMessage(t *chat.Told) {
	w := &r.delivery.message
	r.fillMessage(w, &t.Message)
	w.Conversation, w.Version = t.Conversation[:], uint64(t.Version)
	if t.Message.Kind == parley.KindText {
		// The body is valid until Deliver returns, and encoded when Push does.
		w.Text = unsafe.String(unsafe.SliceData(t.Message.Body), len(t.Message.Body))
	}
	r.sockets.Push(t.To, wire.SessionID(t.Origin), &r.delivery.messagePush)
	w.Conversation, w.Text, w.Data, w.Event = nil, "", nil, nil
}

// regroup has those who watch a conversation see whom it gained and lost.
func (r *Router) regroup(t *chat.Told, e *parley.Event) {
	p := place{t.Tenant, t.Conversation}
	switch e.Type {
	case parley.EventAdded:
		r.watches.regroup(p, e.Users, nil)
	case parley.EventRemoved:
		r.watches.regroup(p, nil, e.Users)
	case parley.EventLeft:
		r.watches.regroup(p, nil, []parley.UserID{t.Message.From})
	}
}

// pushMarks passes a member's watermarks to the others.
func (r *Router) pushMarks(t *chat.Told) {
	d := &r.delivery
	d.to = d.to[:0]
	for _, u := range t.To {
		if u != t.Marker {
			d.to = append(d.to, u)
		}
	}
	if !r.anyOnline(d.to) {
		return
	}
	d.marks.Conversation, d.marks.Version = t.Conversation[:], uint64(t.Version)
	d.marks.User = r.subject(t.Marker)
	d.marks.Delivered, d.marks.Read = uint64(t.Marks.Delivered), uint64(t.Marks.Read)
	r.sockets.Push(d.to, 0, &d.marksPush)
	d.marks.Conversation = nil
}

// dueMark notes that a reader's list shows another count. The session that read
// to the end knows it: nothing is unread.
func (r *Router) dueMark(t *chat.Told) {
	switch {
	case !t.ReadRose: // a list shows no delivered watermark of one's own
	case t.Marks.Read == t.Last:
		r.due(t, wire.SessionID(t.Origin), t.Marker)
	default:
		r.due(t, 0, t.Marker)
	}
}

// due notes that the users' lists show something new of a conversation, which
// one session knows already.
func (r *Router) due(t *chat.Told, but wire.SessionID, users ...parley.UserID) {
	d := &r.delivery
	for _, u := range users {
		if !r.sockets.Online(u, but) {
			continue
		}
		l := listed{u, t.Conversation}
		i, ok := d.at[l]
		if !ok {
			i = len(d.due)
			d.at[l] = i
			d.due = append(d.due, dueState{listed: l, tenant: t.Tenant, but: but})
		}
		if d.due[i].but != but {
			d.due[i].but = 0
		}
		d.due[i].version = t.Version
		if t.Seq > 0 {
			d.due[i].changed = t.Message.At
		}
	}
}

// pushState shows a user's sessions what his list shows. Who is no member any
// longer is told so.
func (r *Router) pushState(s *dueState) {
	d := &r.delivery
	var err error
	if d.shown, err = r.service.State(parley.Identity{Tenant: s.tenant, User: s.user}, s.conversation); err != nil {
		d.shown = chat.State{Conversation: s.conversation, Version: s.version, Changed: s.changed, Left: true}
	}
	r.fillState(&d.state, &d.peer, &d.shown)
	d.conversation = s.conversation
	d.state.Conversation = d.conversation[:]
	d.to = append(d.to[:0], s.user)
	r.sockets.Push(d.to, s.but, &d.statePush)
}
