package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parleychat/parley/wire"
)

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
		b.reset()
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
		b.mark(u.conversation(p).id[:], s.mark())
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

// createsMax is how many conversations are made at once by all users: a server
// may wait for its log for each, and so takes a bounded number.
const createsMax = 512

func (u *user) create(b *batch) error {
	for len(u.creates) > 0 && u.inFlight < u.inFlightMax {
		if u.run.creating.Add(1) > createsMax {
			u.run.creating.Add(-1)
			return nil
		}
		u.inFlight++
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
	if u.due.len() == 0 || u.inFlight >= u.inFlightMax {
		return 0, false
	}
	return u.due.pop(), true
}

// arrive gives the user a message to send.
func (u *user) arrive(intended, now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.due.len() >= dueMax {
		u.run.giveUp(fmt.Errorf("%d messages of user %d wait to be sent: the server does not keep up with this rate", dueMax, u.index))
		return
	}
	u.due.push(intended)
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
	defer batches.Put(b)
	u.compose(b, i)
	if err := u.write(b); err != nil {
		u.end(err)
	}
}

// compose adds the request of a slot to a batch.
func (u *user) compose(b *batch, i uint16) {
	s := &u.slots[i]
	id := uint32(s.turn)<<15 | uint32(i)
	switch s.kind {
	case slotSend:
		r := b.send(u.run.options.Size)
		r.Id = id
		m := r.Send
		m.Conversation, m.Stream, m.Number, m.Kind = u.conversation(s.place).id[:], u.stream, s.number, wire.Kind_KIND_CIPHERTEXT
		body := stamp{u.run.id, uint32(u.places[s.place].conversation), uint32(u.index), s.number, s.intended}
		m.Data = body.append(m.Data[:0], u.run.fill)
	case slotCreate:
		peer := u.run.conversations[s.place].sides[1].user
		b.add(&wire.Request{Id: id, Create: &wire.Create{Peer: userName(int(peer))}}, requestOverhead)
	case slotPull:
		hole := u.side(s.place).held.hole(0)
		b.add(&wire.Request{Id: id, History: &wire.History{Conversation: u.conversation(s.place).id[:], From: hole.from, To: hole.to}}, requestOverhead)
	case slotOther:
		s.request.Id = id
		b.add(s.request, requestOverhead)
	}
}
