package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
)

// traffic is writers who send at the same time, each with a stream of his own,
// and what they were told. Like the outbox of a client it outlives a store: what
// was not acknowledged is sent again, in order.
type traffic struct {
	rooms   int
	writers int
	size    int // bodies are shorter
	commit  int // commands of a batch, at most

	mu   sync.Mutex // guards below
	acks []ack      // in the order in which they came
	last map[outbox]parley.Number
	at   map[place]outbox // acknowledged with a sequence; in it the number is acks'
	num  map[place]parley.Number
	err  error
}

// outbox is one writer's stream in one conversation.
type outbox struct {
	room   parley.ConversationID
	stream parley.StreamID
}

type place struct {
	room parley.ConversationID
	seq  parley.Seq
}

type ack struct {
	outbox
	number parley.Number
	seq    parley.Seq // 0 for a repeat that apply does not know the sequence of
}

func newTraffic(rooms, writers, size, commit int) *traffic {
	tr := &traffic{rooms: rooms, writers: writers, size: size, commit: commit}
	tr.rewind(0)
	return tr
}

// told is how many acknowledgements there are so far.
func (tr *traffic) told() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acks)
}

// rewind forgets what was told after the first n acknowledgements: it was told
// by a store that is gone.
func (tr *traffic) rewind(n int) {
	acks := tr.acks[:n]
	tr.acks = nil
	tr.last, tr.at, tr.num = make(map[outbox]parley.Number), make(map[place]outbox), make(map[place]parley.Number)
	for _, a := range acks {
		tr.acknowledge(a)
	}
}

func (tr *traffic) fail(format string, args ...any) {
	if tr.err == nil {
		tr.err = fmt.Errorf(format, args...)
	}
}

func (tr *traffic) acknowledge(a ack) {
	if last := tr.last[a.outbox]; a.number != last+1 {
		tr.fail("%v: number %d was acknowledged after %d", a.outbox, a.number, last)
	}
	tr.last[a.outbox] = a.number
	tr.acks = append(tr.acks, a)
	if a.seq == 0 {
		return
	}
	p := place{a.room, a.seq}
	if other, taken := tr.at[p]; taken {
		tr.fail("sequence %d of %v was given to %v and to %v", a.seq, a.room, other, a.outbox)
	}
	tr.at[p], tr.num[p] = a.outbox, a.number
}

// done takes the results of a batch.
func (tr *traffic) done(b *Batch, sent []ack) {
	if b.Err != nil {
		return // unknown; sent again after a restart
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i, r := range b.Results {
		a := sent[i]
		if r.Code != parley.OK || r.Seq == 0 && !r.Repeat {
			tr.fail("%v: number %d got %+v", a.outbox, a.number, r)
			continue
		}
		a.seq = r.Seq
		tr.acknowledge(a)
	}
}

// run has every writer send so many batches, or until stop is closed or the
// engine has ended. It returns when all of them are done.
func (tr *traffic) run(e *Engine, seed uint64, batches int, stop <-chan struct{}) error {
	var wg sync.WaitGroup
	for w := range tr.writers {
		wg.Go(func() { tr.write(e, w, rand.New(rand.NewPCG(seed, uint64(w))), batches, stop) })
	}
	wg.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.err
}

// write is one writer: it keeps up to three batches on their way.
func (tr *traffic) write(e *Engine, w int, rng *rand.Rand, batches int, stop <-chan struct{}) {
	next := make(map[outbox]parley.Number)
	var inFlight sync.WaitGroup
	slots := make(chan struct{}, 3)
	defer inFlight.Wait()
	for range batches {
		var cmds []Command
		var sent []ack
		for range 1 + rng.IntN(tr.commit) {
			box := outbox{room(rng.IntN(tr.rooms)), born(1000, uint32(w+1))}
			n := next[box]
			if n == 0 {
				n = tr.after(box)
			}
			next[box] = n + 1
			cmds = append(cmds, PlainAppend(e, box.room, box.stream, n, bodyOf(box, n, tr.size)))
			sent = append(sent, ack{outbox: box, number: n})
		}
		inFlight.Add(1)
		b := &Batch{Commands: cmds, Done: func(b *Batch) {
			tr.done(b, sent)
			<-slots
			inFlight.Done()
		}}
		slots <- struct{}{}
		if !tr.append(e, b, stop) {
			inFlight.Done()
			return
		}
	}
}

func (tr *traffic) after(box outbox) parley.Number {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.last[box] + 1
}

// append insists until the batch is taken. It reports false when it never will
// be.
func (tr *traffic) append(e *Engine, b *Batch, stop <-chan struct{}) bool {
	for {
		err := e.Append(b)
		if err == nil {
			return true
		}
		if !errors.Is(err, parley.Overloaded) {
			return false
		}
		select {
		case <-stop:
			return false
		case <-time.After(time.Millisecond):
		}
	}
}

// bodyOf is the body of a send: any length below size, any bytes, always the
// same ones.
func bodyOf(box outbox, n parley.Number, size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(box.stream), uint64(n)<<16|uint64(box.room[14])<<8|uint64(box.room[15])))
	b := make([]byte, 0, size+8)
	for length := rng.IntN(size); len(b) < length; {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b
}

// boxOf tells who sent a message, and under which number.
func boxOf(m *Message) (outbox, parley.Number) {
	return outbox{parley.ConversationID(m.Body[:16]), parley.StreamID(binary.LittleEndian.Uint64(m.Body[16:]))},
		parley.Number(binary.LittleEndian.Uint32(m.Body[24:]))
}

// right says what is wrong with a message at its place.
func (tr *traffic) right(c parley.ConversationID, m *Message) error {
	box, n := boxOf(m)
	if box.room != c || !bytes.Equal(PlainBody(*m), bodyOf(box, n, tr.size)) {
		return fmt.Errorf("sequence %d of %v is not what %v sent as %d", m.Seq, c, box, n)
	}
	if m.Ordinal != parley.Ordinal(m.Seq) {
		return fmt.Errorf("sequence %d of %v has the ordinal %d", m.Seq, c, m.Ordinal)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	p := place{c, m.Seq}
	if told, ok := tr.at[p]; ok && (told != box || tr.num[p] != n) {
		return fmt.Errorf("sequence %d of %v is %v's %d, and was acknowledged to %v as %d", m.Seq, c, box, n, told, tr.num[p])
	}
	return nil
}

// check reads the whole store: sequences are dense, every message is what was
// sent, every stream stands once and in order, and nothing that was acknowledged
// is missing. A complete store has nothing else.
func (tr *traffic) check(t testing.TB, e *Engine, complete bool) error {
	t.Helper()
	stored := make(map[outbox]parley.Number)
	for c := range tr.rooms {
		all, err := readAll(t, e, room(c), 1)
		if err != nil {
			return fmt.Errorf("read of %v after %d messages: %w", room(c), len(all), err)
		}
		for i := range all {
			if all[i].Seq != parley.Seq(i+1) {
				return fmt.Errorf("sequence %d of %v at place %d", all[i].Seq, room(c), i+1)
			}
			if err := tr.right(room(c), &all[i]); err != nil {
				return err
			}
			box, n := boxOf(&all[i])
			if n != stored[box]+1 {
				return fmt.Errorf("%v: number %d stands after %d", box, n, stored[box])
			}
			stored[box] = n
		}
		if err := tr.reaches(room(c), len(all)); err != nil {
			return err
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for box, last := range tr.last {
		if stored[box] < last {
			return fmt.Errorf("%v: number %d was acknowledged, the store ends at %d", box, last, stored[box])
		}
	}
	for box, last := range stored {
		if complete && tr.last[box] != last {
			return fmt.Errorf("%v: the store ends at %d, %d was acknowledged", box, last, tr.last[box])
		}
	}
	return nil
}

// reaches reports an acknowledged sequence beyond the last.
func (tr *traffic) reaches(c parley.ConversationID, last int) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for p := range tr.at {
		if p.room == c && p.seq > parley.Seq(last) {
			return fmt.Errorf("sequence %d of %v was acknowledged, the last is %d", p.seq, c, last)
		}
	}
	return nil
}

// look reads a piece of a conversation while others write: from where it begins
// it is dense, and what was acknowledged before is in it.
func (tr *traffic) look(t testing.TB, e *Engine, rng *rand.Rand) error {
	c := room(rng.IntN(tr.rooms))
	last := parley.Seq(0)
	e.View(e.Partition(0, c), func(v *View) {
		if s := v.Find(ConversationKey(c)); s != nil {
			last = s.Last()
		}
	})
	want := parley.SeqRange{From: 1 + parley.Seq(rng.Uint64N(uint64(last)+1))}
	want.To = want.From + parley.Seq(rng.Uint64N(300))
	next := want.From
	for m, err := range e.Read(t.Context(), e.Partition(0, c), c, want) {
		if err != nil {
			return fmt.Errorf("read %v of %v: %w", want, c, err)
		}
		if m.Seq != next {
			return fmt.Errorf("sequence %d of %v where %d was due", m.Seq, c, next)
		}
		next++
		if err := tr.right(c, &m); err != nil {
			return err
		}
	}
	if next <= min(last, want.To) {
		return fmt.Errorf("read %v of %v ended at %d, the last was %d", want, c, next-1, last)
	}
	return nil
}
