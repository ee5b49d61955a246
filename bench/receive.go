package bench

import (
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// message takes in a message of somebody else.
func (u *user) message(m *wire.Message, now time.Duration) {
	p, st, f := u.whose(m.Conversation, m)
	if f != nil {
		u.run.flaws.add(f)
		return
	}
	s := u.side(p)
	if f := s.pushed(m.Number, m.Seq); f != nil {
		u.run.flaws.add(f.at(u, p))
	}
	if u.run.inWindow(now) {
		u.tally.delivered++
	}
	if u.run.inWindow(st.intended) {
		u.delivers = append(u.delivers, now-st.intended)
	}
	u.marksRose(p)
}

// whose finds the place of a message by what its body says, and proves that
// this is where it belongs.
func (u *user) whose(id []byte, m *wire.Message) (int32, stamp, *flaw) {
	st, ok := readStamp(m.Data, u.run.fill)
	if !ok || st.run != u.run.id || int(st.conversation) >= len(u.run.conversations) {
		return 0, st, newFlaw(altered, "user %d got a message that this run did not send: sequence %d of %x", u.index, m.Seq, id)
	}
	c := &u.run.conversations[st.conversation]
	side := uint8(0)
	if c.sides[1].user == u.index {
		side = 1
	}
	if c.sides[side].user != u.index || c.sides[1-side].user != int32(st.sender) {
		return 0, st, newFlaw(altered, "user %d got a message of user %d in conversation %v", u.index, st.sender, c.id)
	}
	if string(id) != string(c.id[:]) || st.number != m.Number || m.Stream != u.run.users[st.sender].stream {
		return 0, st, newFlaw(altered, "user %d got number %d of user %d in conversation %v as number %d in %x", u.index, st.number, st.sender, c.id, m.Number, id)
	}
	return c.sides[side].place, st, nil
}

// at says where a flaw was seen.
func (f *flaw) at(u *user, p int32) *flaw {
	return newFlaw(f.kind, "user %d, conversation %v: %s", u.index, u.conversation(p).id, f.text)
}

// marksRose lists a place whose watermarks are to be told.
func (u *user) marksRose(p int32) {
	s := u.side(p)
	if u.run.options.Receipts && !s.dirty && s.markDue() {
		s.dirty = true
		u.dirty = append(u.dirty, p)
	}
}

func (u *user) peerMarks(m *wire.MarksChanged) {
	i, ok := u.run.byID[parley.ConversationID(m.Conversation)]
	if !ok {
		u.run.flaws.add(newFlaw(altered, "user %d was told watermarks of %x", u.index, m.Conversation))
		return
	}
	c := &u.run.conversations[i]
	for side := range c.sides {
		if s := &c.sides[side]; s.user == u.index {
			u.tally.marksTold++
			if f := s.peerMarked(m.Delivered, m.Read); f != nil {
				u.run.flaws.add(f.at(u, s.place))
			}
			return
		}
	}
	u.run.flaws.add(newFlaw(altered, "user %d was told watermarks of a conversation that is not his: %v", u.index, c.id))
}

// check compares the pushes counted here with those counted there. What was
// missed before something else shows as a hole, and is pulled; what was missed
// at the end of a conversation is found when the load is over.
func (u *user) check(pushes uint64) {
	if pushes <= u.pushes {
		return
	}
	u.tally.pushesLost += pushes - u.pushes
	u.pushes = pushes
	for p := range u.places {
		if s := u.side(int32(p)); len(s.held.ahead) > 0 {
			u.pull(int32(p))
		}
	}
}

// pull asks for what is missing at a place, unless that is under way.
func (u *user) pull(p int32) {
	if s := u.side(p); !s.pulling {
		s.pulling = true
		u.pulls = append(u.pulls, p)
	}
}

// answered takes a reply in.
func (u *user) answered(m *wire.ServerMessage, now time.Duration) {
	i, turn := m.ReplyTo&(slotsMax-1), uint16(m.ReplyTo>>15)
	if int(i) >= len(u.slots) || u.slots[i].kind == slotFree || u.slots[i].turn != turn {
		u.run.flaws.add(newFlaw(doubled, "user %d got a reply to request %d, which waits for none", u.index, m.ReplyTo))
		return
	}
	s := &u.slots[i]
	if m.Error != nil {
		u.refused(uint16(i), m.Error, now)
		return
	}
	u.patience = 0
	switch s.kind {
	case slotSend:
		u.acknowledged(s, m, now)
	case slotCreate:
		u.created(s, m)
	case slotPull:
		u.page(s, m)
	case slotOther:
		s.then(m)
	}
	u.release(uint16(i))
}

func (u *user) acknowledged(s *slot, m *wire.ServerMessage, now time.Duration) {
	u.inFlight--
	if m.Sent == nil {
		u.run.flaws.add(newFlaw(unanswered, "user %d got no receipt in the reply to a send", u.index).at(u, s.place))
		return
	}
	if f := u.side(s.place).acknowledged(s.number, m.Sent.Seq); f != nil {
		u.run.flaws.add(f.at(u, s.place))
	}
	if u.run.inWindow(now) {
		u.tally.acknowledged++
	}
	if u.run.inWindow(s.intended) {
		u.acks = append(u.acks, now-s.intended)
	}
	u.marksRose(s.place) // it may have filled a hole before a message of the peer
}

func (u *user) created(s *slot, m *wire.ServerMessage) {
	u.inFlight--
	u.run.creating.Add(-1)
	if m.State == nil || len(m.State.Conversation) != len(parley.ConversationID{}) {
		u.run.flaws.add(newFlaw(unanswered, "user %d got no conversation in the reply to a create", u.index))
		return
	}
	u.run.conversations[s.place].begin(parley.ConversationID(m.State.Conversation), m.State.Last)
	u.run.made.Add(1)
}

// page takes a page of history in, and asks on while it brought something.
func (u *user) page(s *slot, m *wire.ServerMessage) {
	side := u.side(s.place)
	side.pulling = false
	if m.Page == nil {
		return
	}
	brought := false
	for _, item := range m.Page.Items {
		if item.Message == nil || item.Message.Stream == u.stream {
			continue // his own are his when they are acknowledged
		}
		id := u.conversation(s.place).id
		_, _, f := u.whose(id[:], item.Message)
		if f != nil {
			u.run.flaws.add(f)
			continue
		}
		if side.pulled(item.Message.Number, item.Message.Seq) {
			brought = true
			u.tally.repaired++
		}
	}
	u.marksRose(s.place)
	if brought && len(side.held.ahead) > 0 {
		u.pull(s.place)
	}
}

// A user waits so long after a refusal that names no longer time, and twice as
// long after each that follows without a success between.
const (
	backOff    = 5 * time.Millisecond
	backOffMax = 200 * time.Millisecond
)

// refused takes a refusal in. What may be tried again is, in the order of
// numbers; nothing new is sent until then.
func (u *user) refused(i uint16, e *wire.Error, now time.Duration) {
	u.tally.refused++
	s := &u.slots[i]
	if !parley.Code(e.Code).Retry() {
		u.run.flaws.add(newFlaw(refused, "user %d: %s (%d) %s", u.index, e.Name, e.Code, e.Message))
		if s.kind == slotSend || s.kind == slotCreate {
			u.inFlight--
		}
		if s.kind == slotPull {
			u.side(s.place).pulling = false
		}
		u.release(i)
		return
	}
	if len(u.retries) == 0 {
		u.run.backingOff.Add(1)
		u.patience = min(max(2*u.patience, backOff), backOffMax)
		u.retryAt = now + max(u.patience, time.Duration(e.RetryAfterMs)*time.Millisecond)
	}
	u.retries = append(u.retries, i)
}
