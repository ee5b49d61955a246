package engine

import (
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/invariant"
	"github.com/parleychat/parley/internal/mutant"
	"github.com/parleychat/parley/wal"
)

// applyLoop applies groups in log order, until the log has ended.
func (e *Engine) applyLoop() {
	for {
		c := e.nextCommit()
		switch {
		case c.end:
			return
		case c.failed != nil:
			e.fail(c.failed)
			e.abandon()
		case c.lost != nil:
			e.endLost(c.lost)
			e.complete()
		case c.close != nil:
			e.closeHead()
			c.close <- e.flushed
		default:
			e.applyGroups(c.group)
			if e.opts.Applied != nil {
				e.opts.Applied()
			}
			e.complete()
		}
	}
}

func (e *Engine) nextCommit() commit {
	if c := e.held; c != nil {
		e.held = nil
		return *c
	}
	return <-e.commits
}

// applyTogether bounds the commands that are applied before anybody is told.
const applyTogether = 4096

// applyGroups applies a group, and those that have become durable meanwhile:
// what they bring is then told together, so that a socket is written once for
// all of them. It stops before a head is closed: what was applied is told while
// the log's buffer still holds it.
func (e *Engine) applyGroups(g wal.Group) {
	for commands := 0; ; {
		if err := e.applyGroup(g, true); err != nil {
			invariant.Violated("apply of a group just proposed: %v", err)
		}
		if commands += g.Count; commands >= applyTogether {
			return
		}
		select {
		case c := <-e.commits:
			if c.group.Count == 0 || e.closesHead(c.group) {
				next := c // escapes, where c need not
				e.held = &next
				return
			}
			g = c.group
		default:
			return
		}
	}
}

// closesHead reports whether a group does not belong into the open head.
func (e *Engine) closesHead(g wal.Group) bool {
	return e.head.file != g.File || len(e.head.changes) >= e.opts.HeadRowsMax
}

// complete ends the batches that are done, in the order in which they were
// appended.
func (e *Engine) complete() {
	for i, b := range e.done {
		e.done[i] = nil
		b.Done(b)
	}
	e.done = e.done[:0]
	e.completed()
	if e.current == nil {
		e.signalIdle()
	}
}

func (e *Engine) completed() {
	if e.opts.Completed != nil {
		e.opts.Completed()
	}
}

func (e *Engine) signalIdle() {
	e.intake.Lock()
	defer e.intake.Unlock()
	if e.idle != nil && e.pending.len() == 0 {
		close(e.idle)
		e.idle = nil
	}
}

// applyGroup applies the records of one group.
func (e *Engine) applyGroup(g wal.Group, live bool) error {
	if e.closesHead(g) {
		e.closeHead()
	}
	if e.head.empty() {
		e.head.begin(g)
		e.tx.head = e.head
	}
	e.tx.live = live
	var locked *partition
	defer func() {
		if locked != nil {
			locked.mu.Unlock()
		}
	}()
	off := g.Offset
	for lsn, record := range g.Records() {
		c := &e.tx.cmd
		var err error
		if *c, err = ParseRecord(record); err != nil || int(c.Partition) >= len(e.partitions) {
			return fmt.Errorf("%w: record %d of log file %d cannot be read", ErrCorrupt, lsn, g.File)
		}
		if p := e.partitions[c.Partition]; p != locked {
			if locked != nil {
				locked.mu.Unlock()
			}
			p.mu.Lock()
			locked = p
		}
		e.tx.offset = uint32(off)
		off += 4 + len(record)
		if err := e.applyCommand(locked, c, live); err != nil {
			return fmt.Errorf("record %d of log file %d: %w", lsn, g.File, err)
		}
		e.head.last = lsn
	}
	e.stats.groups.Add(1)
	return nil
}

func (e *Engine) applyCommand(p *partition, c *Command, live bool) error {
	covered := e.cutAt.index(p.id)
	if c.Index <= covered && !live && !mutant.On(mutant.LinkedAgain) {
		return nil
	}
	if c.Index != p.index+1 && !(mutant.On(mutant.LinkedAgain) && !live) {
		return fmt.Errorf("%w: index %d of partition %d where %d was due", ErrCorrupt, c.Index, p.id, p.index+1)
	}
	p.index = c.Index
	p.time = max(p.time, c.Time)
	e.tx.p, e.tx.time, e.tx.origin, e.tx.hint = p, p.time, 0, nil
	if live {
		if e.current == nil {
			e.current = e.takePending()
		}
		e.tx.origin = e.current.Origin
		e.tx.hint = e.current.Commands[e.current.applied].Slot
	}
	r := e.machine.Apply(&e.tx, c)
	r.Time = p.time
	e.floor.Store(p.time)
	if live {
		e.resolve(r)
	}
	return nil
}

// resolve gives a result to the batch whose turn it is.
func (e *Engine) resolve(r Result) {
	b := e.current
	b.Results[b.applied] = r
	b.applied++
	if b.applied >= b.expect {
		e.done = append(e.done, b)
		e.current = nil
	}
	if r.Code != parley.OK {
		e.stats.refused.Add(1)
	}
	e.stats.applied.Add(1)
}

func (e *Engine) takePending() *Batch {
	e.intake.Lock()
	defer e.intake.Unlock()
	if e.pending.len() == 0 {
		invariant.Violated("a command was committed that nobody proposed")
	}
	return e.pending.take()
}

// abandon ends what waits: its outcome is unknown.
func (e *Engine) abandon() {
	e.intake.Lock()
	waiting := e.pending.takeAll()
	e.intake.Unlock()
	if e.current != nil {
		waiting = append([]*Batch{e.current}, waiting...)
		e.current = nil
	}
	for _, b := range waiting {
		b.Err = ErrFailed
		b.Done(b)
	}
	e.completed()
}

// loss is what a log will never commit.
type loss struct {
	batches []*Batch // whole, oldest first
	rest    int      // commands of the batch before them, which apply has begun
}

// lose takes the newest n commands out of what is awaited. Some of what was
// proposed before them may be committed and not yet applied: the applier ends
// the batches in their turn.
func (e *Engine) lose(n int) {
	l := &loss{}
	e.intake.Lock()
	for n > 0 && e.pending.len() > 0 {
		b := e.pending.newest()
		if b.expect > n {
			b.Err = ErrLost
			b.expect -= n
			n = 0
			break
		}
		n -= b.expect
		e.pending.dropNewest()
		l.batches = append(l.batches, b)
	}
	e.intake.Unlock()
	slices.Reverse(l.batches)
	l.rest = n
	e.commits <- commit{lost: l}
}

// endLost has the lost batches end.
func (e *Engine) endLost(l *loss) {
	if b := e.current; b != nil && l.rest > 0 {
		b.Err = ErrLost
		b.expect -= l.rest
		if b.applied >= b.expect {
			e.done = append(e.done, b)
			e.current = nil
		}
	}
	for _, b := range l.batches {
		b.Err = ErrLost
		e.done = append(e.done, b)
	}
}

// closeHead ends the open head at the newest command applied and hands it to
// the flusher. It waits when too many wait there already: the log then fills,
// and senders are refused.
func (e *Engine) closeHead() {
	h := e.head
	if h.empty() {
		return
	}
	h.cut = cut{lsn: h.last, partitions: make([]cutPartition, len(e.partitions))}
	for i, p := range e.partitions {
		p.mu.RLock()
		h.cut.partitions[i] = cutPartition{index: p.index, time: p.time}
		p.mu.RUnlock()
	}
	e.head = newHead()
	e.tx.head = e.head
	e.flushed = h.flushed
	e.stats.headsWaiting.Add(1)
	e.flushes <- h
}
