package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/wal"
)

// Truncating is a log in memory whose uncommitted tail is now and then cut, as
// when a leader changes before a majority has the newest proposals.
type Truncating struct {
	sink engine.Sink
	rng  *rand.Rand
	wg   sync.WaitGroup

	mu      sync.Mutex // guards below
	work    sync.Cond
	tail    [][]engine.Command // proposals not committed, oldest first
	next    []uint64
	term    uint32
	lsn     wal.LSN
	file    uint64
	buffer  []byte // of the file; groups of one file share it
	closing bool
	deposed bool // the tail was cut; no proposals until Resume

	// Cuts counts how often the tail was cut.
	Cuts int
	// Committed is every command that was, in order. It may be read once the log
	// is closed.
	Committed []engine.Command
}

// OpenTruncating is an engine.OpenLog. The log begins empty.
func OpenTruncating(seed uint64, opened func(*Truncating)) engine.OpenLog {
	return func(from wal.LSN, sink engine.Sink) (engine.Log, error) {
		l := &Truncating{
			sink: sink, rng: rand.New(rand.NewPCG(seed, 1)), next: sink.Indexes(),
			term: 1, lsn: from - 1, file: 1,
		}
		l.work.L = &l.mu
		l.wg.Go(l.run)
		if opened != nil {
			opened(l)
		}
		return l, nil
	}
}

// Propose implements engine.Log.
func (l *Truncating) Propose(cmds []engine.Command) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return wal.ErrClosed
	}
	if l.deposed {
		return parley.Unavailable
	}
	kept := make([]engine.Command, len(cmds))
	for i := range cmds {
		l.next[cmds[i].Partition]++
		cmds[i].Term, cmds[i].Index = l.term, l.next[cmds[i].Partition]
		kept[i] = cmds[i]
		kept[i].Body = append([]byte(nil), cmds[i].Body...)
	}
	l.tail = append(l.tail, kept)
	l.work.Signal()
	return nil
}

// Resume has the log take proposals again after a cut.
func (l *Truncating) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deposed = false
}

// run commits the oldest proposals, or cuts the newest.
func (l *Truncating) run() {
	for {
		l.mu.Lock()
		for len(l.tail) == 0 && !l.closing {
			l.work.Wait()
		}
		if len(l.tail) == 0 {
			l.mu.Unlock()
			return
		}
		if l.rng.IntN(4) == 0 {
			l.cut(1 + l.rng.IntN(len(l.tail)))
			continue
		}
		g := l.group(1 + l.rng.IntN(len(l.tail)))
		l.mu.Unlock()
		l.sink.Commit(g)
	}
}

// cut loses the newest n proposals. It gives the lock back.
func (l *Truncating) cut(n int) {
	lost := 0
	for _, p := range l.tail[len(l.tail)-n:] {
		lost += len(p)
		for i := range p {
			l.next[p[i].Partition]--
		}
	}
	l.tail = l.tail[:len(l.tail)-n]
	l.term++
	l.deposed = true
	l.Cuts++
	l.mu.Unlock()
	l.sink.Lost(lost)
}

// group takes the oldest n proposals as one group of records.
func (l *Truncating) group(n int) wal.Group {
	var b []byte
	count := 0
	for _, p := range l.tail[:n] {
		for i := range p {
			at := len(b)
			b = engine.AppendRecord(append(b, 0, 0, 0, 0), &p[i])
			binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
			count++
		}
		l.Committed = append(l.Committed, p...)
	}
	if len(l.buffer)+len(b) > cap(l.buffer) || l.rng.IntN(8) == 0 {
		l.file++
		l.buffer = make([]byte, 0, max(len(b), 64<<10))
	}
	g := wal.Group{First: l.lsn + 1, Count: count, File: l.file, Offset: len(l.buffer)}
	l.buffer = append(l.buffer, b...)
	g.Buffer = l.buffer[:cap(l.buffer)]
	l.lsn += wal.LSN(g.Count)
	l.tail = append([][]engine.Command(nil), l.tail[n:]...)
	return g
}

// Trim implements engine.Log.
func (*Truncating) Trim(wal.LSN) {}

// Close implements engine.Log.
func (l *Truncating) Close() error {
	l.mu.Lock()
	l.closing = true
	l.work.Signal()
	l.mu.Unlock()
	l.wg.Wait()
	return nil
}

// Release implements engine.Log.
func (*Truncating) Release() {}
