package engine

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// sender makes batches of sends that cost it no allocation: it writes the next
// numbers into the bodies of those it made before.
type sender struct {
	e    *Engine
	next []parley.Number // of each conversation
	turn int
}

const senderRooms = 500

func newSender(e *Engine) *sender {
	return &sender{e: e, next: make([]parley.Number, senderRooms)}
}

func (s *sender) batch(commands, size int, done func(*Batch)) *Batch {
	b := &Batch{Done: done}
	for range commands {
		b.Commands = append(b.Commands, PlainAppend(s.e, room(0), born(1, 1), 1, make([]byte, size)))
	}
	return b
}

// advance makes new sends of a batch's commands.
func (s *sender) advance(b *Batch) {
	for i := range b.Commands {
		c := &b.Commands[i]
		s.turn = (s.turn + 1) % senderRooms
		id := room(s.turn)
		s.next[s.turn]++
		c.Time, c.Partition = 0, s.e.Partition(parley.DefaultTenant, id)
		copy(c.Body, id[:])
		binary.LittleEndian.PutUint32(c.Body[24:], uint32(s.next[s.turn]))
	}
}

// insist appends a batch until it is taken.
func insist(t testing.TB, e *Engine, b *Batch) {
	for {
		err := e.Append(b)
		if err == nil {
			return
		}
		if !errors.Is(err, parley.Overloaded) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A batch costs next to nothing besides the bytes that the log keeps: what is
// allocated (blocks of the side array, chains) is shared by many.
func TestAppendAllocates(t *testing.T) {
	e := open(t, vfs.Default, t.TempDir(), Plain{}, Options{HeadSize: 16 << 20, Partitions: 16})
	defer closeEngine(t, e)
	s := newSender(e)
	done := make(chan struct{}, 1)
	b := s.batch(64, 50, func(*Batch) { done <- struct{}{} })
	send := func() {
		s.advance(b)
		insist(t, e, b)
		<-done
	}
	for range senderRooms { // every conversation has its row
		send()
	}
	repeat := func() {
		insist(t, e, b)
		<-done
	}
	for what, f := range map[string]func(){"new sends": send, "repeats": repeat} {
		n := testing.AllocsPerRun(200, f)
		t.Logf("%s: %v allocations for a batch of 64", what, n)
		if n > 1 && !underRace {
			t.Errorf("%s: %v allocations for a batch of 64, want at most 1", what, n)
		}
	}
}
