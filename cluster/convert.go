package cluster

import (
	"slices"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// subject is how a user is known outside: empty for one who was erased.
func (r *Router) subject(u parley.UserID) string {
	s, _ := r.service.Subject(u)
	return s
}

// micros is a time on the wire; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fillMessage sets what pages and pushes have in common. The data of w is m's
// own memory.
func (r *Router) fillMessage(w *wire.Message, m *parley.Message) {
	w.Seq, w.Ordinal = uint64(m.Seq), uint64(m.Ordinal)
	w.From = r.subject(m.From)
	w.Stream, w.Number = uint64(m.Stream), uint32(m.Number)
	w.Kind, w.At = wire.Kind(m.Kind), micros(m.At)
	w.Text, w.Data, w.Event = "", nil, nil
	switch {
	case m.Event != nil:
		w.Event = r.wireEvent(m.Event)
	case m.Kind != parley.KindText: // a text's body is copied or not, as the caller can
		w.Data = m.Body
	}
}

func (r *Router) wireEvent(e *parley.Event) *wire.Event {
	out := &wire.Event{Type: wire.EventType(e.Type), Role: wire.Role(e.Role), Title: e.Title}
	for _, u := range e.Users {
		out.Users = append(out.Users, r.subject(u))
	}
	return out
}

func (r *Router) fillMember(w *wire.Member, m *chat.Member) {
	w.User, w.Role = r.subject(m.User), wire.Role(m.Role)
	w.Delivered, w.Read = uint64(m.Delivered), uint64(m.Read)
	p, _ := r.service.Profile(m.User)
	w.Name, w.Picture = p.Name, p.Picture
}

// fillState sets all of w but the conversation; peer is used for the other one of
// a direct conversation.
func (r *Router) fillState(w *wire.State, peer *wire.Member, st *chat.State) {
	w.Kind, w.Title = wire.ConversationKind(st.Kind), st.Title
	w.Last, w.Version, w.Changed = uint64(st.Last), uint64(st.Version), micros(st.Changed)
	w.Role = wire.Role(st.Role)
	w.Delivered, w.Read = uint64(st.Marks.Delivered), uint64(st.Marks.Read)
	w.Unread = st.Unread()
	w.Ordinal, w.ReadOrdinal = uint64(st.Ordinal), uint64(st.ReadOrdinal)
	w.Own, w.OwnAtRead = st.Own, st.OwnAtRead
	w.MarkedUnread, w.MutedUntil = st.MarkedUnread, micros(st.MutedUntil)
	w.Peer, w.Left = nil, st.Left
	if st.Kind == parley.Direct {
		r.fillMember(peer, &st.Peer)
		w.Peer = peer
	}
}

// shorten cuts a page to a number of messages and of bytes in their bodies, from
// the side that was not asked for. One item stays.
func shorten(p *chat.Page, messages, bytes int, backward bool) {
	if backward {
		slices.Reverse(p.Items)
		defer func() { slices.Reverse(p.Items) }() // those that are left
	}
	for i := range p.Items {
		it := &p.Items[i]
		n := 1
		if it.Withheld != 0 {
			n = int(min(it.Range.Len(), chat.PageMax))
		}
		messages -= n
		bytes -= len(it.Message.Body)
		if i > 0 && (messages < 0 || bytes < 0) {
			p.Items = p.Items[:i]
			break
		}
	}
	if len(p.Items) == 0 {
		return
	}
	last := &p.Items[len(p.Items)-1]
	end := parley.SeqRange{From: last.Message.Seq, To: last.Message.Seq}
	if last.Withheld != 0 {
		end = last.Range
	}
	if backward {
		p.Range.From = end.From
	} else {
		p.Range.To = end.To
	}
}

func (r *Router) wirePage(c parley.ConversationID, p *chat.Page) *wire.Page {
	out := &wire.Page{
		Conversation: c[:], Last: uint64(p.Last), Version: uint64(p.Version),
		From: uint64(p.Range.From), To: uint64(p.Range.To), Items: make([]*wire.Item, len(p.Items)),
	}
	for i := range p.Items {
		out.Items[i] = r.wireItem(&p.Items[i])
	}
	return out
}

func (r *Router) wireItem(it *chat.Item) *wire.Item {
	if it.Withheld != 0 {
		return &wire.Item{Withheld: &wire.Withheld{
			From: uint64(it.Range.From), To: uint64(it.Range.To), Reason: wire.Withheld_Reason(it.Withheld),
		}}
	}
	m := &wire.Message{}
	r.fillMessage(m, &it.Message)
	if it.Message.Kind == parley.KindText {
		m.Text = string(it.Message.Body)
	}
	return &wire.Item{Message: m}
}
