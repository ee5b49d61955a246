package engine

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// tape is a log of which the test says what becomes of the proposals.
type tape struct {
	sink Sink

	mu       sync.Mutex
	next     []uint64
	proposed []Command // not committed, oldest first
	lsn      wal.LSN
	buffer   []byte // as long as the file will be; used up to end
	end      int
}

func (l *tape) Propose(cmds []Command) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range cmds {
		c := &cmds[i]
		l.next[c.Partition]++
		c.Term, c.Index = 1, l.next[c.Partition]
		kept := *c
		kept.Body = slices.Clone(c.Body)
		l.proposed = append(l.proposed, kept)
	}
	return nil
}

func (l *tape) Trim(wal.LSN) {}
func (l *tape) Close() error { return nil }
func (l *tape) Release()     {}

// commit makes the oldest n commands durable.
func (l *tape) commit(n int) {
	l.mu.Lock()
	g := wal.Group{First: l.lsn + 1, Count: n, File: 1, Buffer: l.buffer, Offset: l.end}
	for _, c := range l.proposed[:n] {
		record := AppendRecord(nil, &c)
		binary.LittleEndian.PutUint32(l.buffer[l.end:], uint32(len(record)))
		l.end += 4 + copy(l.buffer[l.end+4:], record)
	}
	l.lsn += wal.LSN(n)
	l.proposed = l.proposed[n:]
	l.mu.Unlock()
	l.sink.Commit(g)
}

// lose has the newest n commands go.
func (l *tape) lose(n int) {
	l.mu.Lock()
	for _, c := range l.proposed[len(l.proposed)-n:] {
		l.next[c.Partition]--
	}
	l.proposed = l.proposed[:len(l.proposed)-n]
	l.mu.Unlock()
	l.sink.Lost(n)
}

// onTape opens an engine on a tape. told takes the ends of its batches.
func onTape(t *testing.T) (e *Engine, l *tape, told chan *Batch) {
	t.Helper()
	l = &tape{buffer: make([]byte, 1<<20)}
	e = open(t, vfs.NewMem(), testDir, Plain{}, Options{Partitions: 1, OpenLog: func(_ wal.LSN, s Sink) (Log, error) {
		l.sink, l.next = s, s.Indexes()
		return l, nil
	}})
	return e, l, make(chan *Batch, 100)
}

// batch appends the sends from one number to another.
func batch(t *testing.T, e *Engine, told chan *Batch, from, to parley.Number) *Batch {
	t.Helper()
	b := &Batch{Done: func(b *Batch) { told <- b }}
	for n := from; n <= to; n++ {
		b.Commands = append(b.Commands, PlainAppend(e, room(1), 1, n, nil))
	}
	if err := e.Append(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// Batches end in the order in which they were appended, those that were lost
// too, and each once.
func TestLostBatches(t *testing.T) {
	for _, c := range []struct {
		what   string
		commit []int // this many commands, one group after another, then
		lose   int   // this many are lost
		lost   []bool
	}{
		{"none", []int{6}, 0, []bool{false, false, false}},
		{"the last", []int{5}, 1, []bool{false, false, true}},
		{"two", []int{2}, 4, []bool{false, true, true}},
		{"all", nil, 6, []bool{true, true, true}},
		{"one and the end of another", []int{4}, 2, []bool{false, true, true}},
		{"one and the end of another, group by group", []int{1, 1, 1, 1}, 2, []bool{false, true, true}},
		{"the end of the first and all others", []int{1}, 5, []bool{true, true, true}},
	} {
		t.Run(c.what, func(t *testing.T) {
			e, l, told := onTape(t)
			batches := []*Batch{batch(t, e, told, 1, 2), batch(t, e, told, 3, 5), batch(t, e, told, 6, 6)}
			committed := 0
			for _, n := range c.commit {
				l.commit(n)
				committed += n
			}
			if c.lose > 0 {
				l.lose(c.lose)
			}
			for i, b := range batches {
				if got := <-told; got != b {
					t.Fatalf("batch %d ended out of turn", i)
				}
				if lost := errors.Is(b.Err, ErrLost); lost != c.lost[i] || !lost && b.Err != nil {
					t.Errorf("batch %d: %v, want lost: %v", i, b.Err, c.lost[i])
				}
			}
			// All may be sent again: what was applied is a repeat.
			b := batch(t, e, told, 1, 6)
			l.commit(6)
			<-told
			for i, r := range b.Results {
				if r.Code != parley.OK || r.Repeat != (i < committed) {
					t.Errorf("again %d: %+v, want repeat: %v", i+1, r, i < committed)
				}
			}
			closeEngine(t, e)
			select {
			case <-told:
				t.Error("a batch ended twice")
			default:
			}
		})
	}
}

// Close does not wait for what will never come.
func TestCloseWhileLost(t *testing.T) {
	e, l, told := onTape(t)
	b := batch(t, e, told, 1, 3)
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for !errors.Is(e.failure(), ErrClosed) {
		time.Sleep(time.Millisecond)
	}
	l.lose(3)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := <-told; got != b || !errors.Is(b.Err, ErrLost) {
		t.Errorf("the batch: %v", b.Err)
	}
}
