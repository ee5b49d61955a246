package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// user is one user with one connection. His goroutine reads; whoever holds mu
// may write.
type user struct {
	run   *run
	index int32
	conn  *client.Conn

	stream      uint64
	inFlightMax int // sends and other requests
	frameMax    int

	mu     sync.Mutex
	ended  bool // by the server or by us
	random rand.PCG
	places []place // where he belongs

	slots    []slot // of requests that wait for their reply
	free     []uint16
	inFlight int // sends

	creates []int32         // conversations that he has yet to make
	due     []time.Duration // intended times that wait for room
	dueHead int

	retries []uint16 // refused, to be sent again in the order of numbers
	retryAt time.Duration

	dirty  []int32 // places whose watermarks have risen
	pulls  []int32 // places with holes to be pulled
	pushes uint64  // counted as the protocol says

	tally tally

	// Of this wake-up.
	acks, delivers []time.Duration
}

// tally is what a user counts. It grows only.
type tally struct {
	acknowledged, delivered uint64 // inside the measured window
	refused                 uint64
	marks, marksTold        uint64 // watermarks sent, and heard of
	pushesLost, repaired    uint64
	reads, read             uint64 // wake-ups, and messages in them
	writes, written         uint64 // and requests in them
}

func (t *tally) add(o tally) {
	t.acknowledged += o.acknowledged
	t.delivered += o.delivered
	t.refused += o.refused
	t.marks += o.marks
	t.marksTold += o.marksTold
	t.pushesLost += o.pushesLost
	t.repaired += o.repaired
	t.reads += o.reads
	t.read += o.read
	t.writes += o.writes
	t.written += o.written
}

// place is a conversation as one of its two users names it.
type place struct {
	conversation int32
	side         uint8
}

// slot is a request that waits for its reply. Its id on the wire is its index
// and a turn, so that a reply to an earlier user of the slot is known as such.
type slot struct {
	kind     slotKind
	turn     uint16
	place    int32
	number   uint32
	intended time.Duration
	request  *wire.Request // of other, to be sent again
	then     func(*wire.ServerMessage)
}

type slotKind uint8

const (
	slotFree slotKind = iota
	slotSend
	slotCreate
	slotPull
	slotOther
)

// slotsMax bounds the requests of one user that wait for a reply.
const slotsMax = 1 << 15

// dueMax bounds the arrivals that wait for room in one user's connection; past
// it the server is so far behind that the run means nothing.
const dueMax = 1 << 16

// read is the goroutine of a connection: what one read brought is taken in, and
// what follows from it is written at once.
func (u *user) read() {
	for {
		messages, err := u.conn.Read()
		now := u.run.now()
		u.mu.Lock()
		if err != nil {
			u.end(err)
			u.mu.Unlock()
			return
		}
		u.tally.reads++
		u.tally.read += uint64(len(messages))
		u.acks, u.delivers = u.acks[:0], u.delivers[:0]
		for _, m := range messages {
			u.take(m, now)
		}
		u.proceed(now)
		if len(u.acks)+len(u.delivers) > 0 {
			u.run.latencies.record(u.index, u.acks, u.delivers)
		}
		u.mu.Unlock()
	}
}

func (u *user) end(err error) {
	if u.ended {
		return
	}
	u.ended = true
	u.run.flaws.add(newFlaw(disconnected, "user %d: %v", u.index, err))
	u.run.dead.Add(1)
}

// take takes in one message of the server.
func (u *user) take(m *wire.ServerMessage, now time.Duration) {
	if m.ReplyTo != 0 {
		u.answered(m, now)
		return
	}
	switch {
	case m.Message != nil:
		u.pushes++
		u.message(m.Message, now)
	case m.Marks != nil:
		u.pushes++
		u.peerMarks(m.Marks)
	case m.State != nil:
		u.pushes++
	case m.Check != nil:
		u.check(m.Check.Pushes)
	case m.Error != nil:
		// A refusal of watermarks. They are cumulative, so the next ones say it
		// all, and the last ones are sent again when the load is over.
		u.tally.refused++
	}
}

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

func (u *user) side(p int32) *side {
	at := u.places[p]
	return &u.run.conversations[at.conversation].sides[at.side]
}

// at says where a flaw was seen.
func (f *flaw) at(u *user, p int32) *flaw {
	c := &u.run.conversations[u.places[p].conversation]
	return newFlaw(f.kind, "user %d, conversation %v: %s", u.index, c.id, f.text)
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
		id := u.run.conversations[u.places[s.place].conversation].id
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

// backOff is how long a user waits after a refusal that names no time.
const backOff = 5 * time.Millisecond

// refused takes a refusal in. What may be tried again is, in the order of
// numbers; nothing new is sent until then.
func (u *user) refused(i uint16, e *wire.Error, now time.Duration) {
	u.tally.refused++
	s := &u.slots[i]
	if !parley.Code(e.Code).Retry() {
		u.run.flaws.add(newFlaw(refused, "user %d: %s (%d) %s", u.index, e.Name, e.Code, e.Message))
		if s.kind == slotSend {
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
		u.retryAt = now + max(backOff, time.Duration(e.RetryAfterMs)*time.Millisecond)
	}
	u.retries = append(u.retries, i)
}

// proceed writes everything that can be written now: watermarks, what was
// refused before, and what the load wants sent. mu is held.
func (u *user) proceed(now time.Duration) {
	if u.ended {
		return
	}
	b := batches.Get().(*batch)
	err := errors.Join(u.tellMarks(b), u.retry(b, now), u.pullHoles(b))
	if err == nil && len(u.retries) == 0 {
		err = errors.Join(u.create(b), u.load(b, now))
	}
	if err == nil {
		err = u.write(b)
	}
	if err != nil {
		u.end(err)
	}
	batches.Put(b)
}

// flush writes what a batch holds once it is full.
func (u *user) flush(b *batch) error {
	if b.full(u.frameMax) {
		return u.write(b)
	}
	return nil
}

func (u *user) write(b *batch) error {
	if len(b.out) > 0 {
		u.tally.writes++
		u.tally.written += uint64(len(b.out))
	}
	return b.write(u.conn)
}

func (u *user) tellMarks(b *batch) error {
	for _, p := range u.dirty {
		s := u.side(p)
		s.dirty = false
		b.mark(u.run.conversations[u.places[p].conversation].id[:], s.mark())
		if err := u.flush(b); err != nil {
			return err
		}
	}
	u.tally.marks += uint64(len(u.dirty))
	u.dirty = u.dirty[:0]
	return nil
}

func (u *user) retry(b *batch, now time.Duration) error {
	if len(u.retries) == 0 || now < u.retryAt {
		return nil
	}
	slices.SortStableFunc(u.retries, func(a, b uint16) int { return int(u.slots[a].number) - int(u.slots[b].number) })
	for _, i := range u.retries {
		u.compose(b, i)
		if err := u.flush(b); err != nil {
			return err
		}
	}
	u.retries = u.retries[:0]
	u.run.backingOff.Add(-1)
	return nil
}

func (u *user) pullHoles(b *batch) error {
	for _, p := range u.pulls {
		i, ok := u.occupy(slot{kind: slotPull, place: p})
		if !ok {
			return fmt.Errorf("more than %d requests wait", slotsMax)
		}
		u.compose(b, i)
		if err := u.flush(b); err != nil {
			return err
		}
	}
	u.pulls = u.pulls[:0]
	return nil
}

// createsInFlight is how many conversations one user makes at once.
const createsInFlight = 16

func (u *user) create(b *batch) error {
	for len(u.creates) > 0 && len(u.slots)-len(u.free) < min(createsInFlight, u.inFlightMax) {
		last := len(u.creates) - 1
		i, _ := u.occupy(slot{kind: slotCreate, place: u.creates[last]})
		u.creates = u.creates[:last]
		u.compose(b, i)
		if err := u.flush(b); err != nil {
			return err
		}
	}
	return nil
}

// load sends what the load wants: up to InFlight at once in a closed loop, what
// is due in an open one.
func (u *user) load(b *batch, now time.Duration) error {
	for {
		intended, ok := u.next(now)
		if !ok {
			return nil
		}
		p := int32(u.random.Uint64() % uint64(len(u.places)))
		s := u.side(p)
		s.number++
		i, ok := u.occupy(slot{kind: slotSend, place: p, number: s.number, intended: intended})
		if !ok {
			return fmt.Errorf("more than %d requests wait", slotsMax)
		}
		u.inFlight++
		u.compose(b, i)
		if err := u.flush(b); err != nil {
			return err
		}
	}
}

// next says whether the user sends a message now, and since when he wanted to.
func (u *user) next(now time.Duration) (intended time.Duration, ok bool) {
	if len(u.places) == 0 {
		return 0, false
	}
	if k := u.run.options.InFlight; k > 0 {
		return now, u.inFlight < k && u.run.loading(now)
	}
	if u.dueHead == len(u.due) || u.inFlight >= u.inFlightMax {
		return 0, false
	}
	intended = u.due[u.dueHead]
	u.dueHead++
	if u.dueHead == len(u.due) {
		u.due, u.dueHead = u.due[:0], 0
	}
	return intended, true
}

// arrive gives the user a message to send.
func (u *user) arrive(intended, now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.due) >= dueMax {
		u.end(fmt.Errorf("%d messages wait to be sent: the server does not keep up with this rate", dueMax))
		return
	}
	u.due = append(u.due, intended)
	u.proceed(now)
}

// ask sends any request; then is called with its reply, by the reading
// goroutine and with mu held.
func (u *user) ask(r *wire.Request, then func(*wire.ServerMessage)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return
	}
	i, ok := u.occupy(slot{kind: slotOther, request: r, then: then})
	if !ok {
		u.end(fmt.Errorf("more than %d requests wait", slotsMax))
		return
	}
	b := batches.Get().(*batch)
	u.compose(b, i)
	if err := u.write(b); err != nil {
		u.end(err)
	}
	batches.Put(b)
}

// compose adds the request of a slot to a batch.
func (u *user) compose(b *batch, i uint16) {
	s := &u.slots[i]
	id := uint32(s.turn)<<15 | uint32(i)
	switch s.kind {
	case slotSend:
		at := u.places[s.place]
		r := b.send(u.run.options.Size)
		r.Id = id
		m := r.Send
		m.Conversation, m.Stream, m.Number, m.Kind = u.run.conversations[at.conversation].id[:], u.stream, s.number, wire.Kind_KIND_CIPHERTEXT
		body := stamp{u.run.id, uint32(at.conversation), uint32(u.index), s.number, s.intended}
		m.Data = body.append(m.Data[:0], u.run.fill)
	case slotCreate:
		peer := u.run.conversations[s.place].sides[1].user
		b.add(&wire.Request{Id: id, Create: &wire.Create{Peer: userName(int(peer))}}, requestOverhead)
	case slotPull:
		c := &u.run.conversations[u.places[s.place].conversation]
		hole := u.side(s.place).held.hole(0)
		b.add(&wire.Request{Id: id, History: &wire.History{Conversation: c.id[:], From: hole.from, To: hole.to}}, requestOverhead)
	case slotOther:
		s.request.Id = id
		b.add(s.request, requestOverhead)
	}
}

// occupy finds a slot for a request.
func (u *user) occupy(s slot) (uint16, bool) {
	n := len(u.free)
	if n == 0 {
		if len(u.slots) == slotsMax {
			return 0, false
		}
		s.turn = 1
		u.slots = append(u.slots, s)
		return uint16(len(u.slots) - 1), true
	}
	i := u.free[n-1]
	u.free = u.free[:n-1]
	s.turn = u.slots[i].turn + 1
	if s.turn == 0 {
		s.turn = 1
	}
	u.slots[i] = s
	return i, true
}

func (u *user) release(i uint16) {
	turn := u.slots[i].turn
	u.slots[i] = slot{turn: turn}
	u.free = append(u.free, i)
}
