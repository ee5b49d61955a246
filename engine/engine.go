package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// Engine is an open store. Its methods may be called from any goroutine.
type Engine struct {
	// Fixed by Open.
	fs          vfs.FS
	dir         string
	opts        Options
	machine     Machine
	lock        io.Closer
	catalogue   *catalogue
	log         Log
	incarnation parley.Incarnation
	partitions  []*partition
	index       index
	segments    segmentCache

	commits chan commit // to the applier
	flushes chan *head  // to the flusher
	ended   chan struct{}
	applier sync.WaitGroup
	flusher sync.WaitGroup
	watcher sync.WaitGroup

	rowCount atomic.Int64
	floor    atomic.Int64 // stamp of the newest command applied
	diskLow  atomic.Bool
	stats    counters
	trimmed  atomic.Uint64 // newest LSN given to Log.Trim

	nextSegment uint64 // owned by the flusher: the newest segment id given

	// Owned by the applier; during Open, by Open.
	tx      Tx
	head    *head
	flushed chan struct{} // of the newest head closed; nil while there is none
	cutAt   cut           // of the store as opened: replay skips what it covers
	current *Batch
	done    []*Batch
	held    *commit // taken from commits, and not yet its turn

	intake  sync.Mutex // guards below; the order of proposals
	pending pending
	idle    chan struct{}
	err     error
	closing bool
	stamped int64 // the newest stamp given
}

// partition is conversations that share one order of commands.
type partition struct {
	id    parley.PartitionID
	mu    sync.RWMutex // guards below
	rows  rows
	index uint64 // of the newest command applied
	time  int64  // its clamped stamp

	closed bool // no head may be read any longer

	view View // of this partition; one for all, so that a look allocates nothing
}

func newPartition(id parley.PartitionID, at cutPartition) *partition {
	p := &partition{id: id, rows: newRows(), index: at.index, time: at.time}
	p.view.p = p
	return p
}

// commit is what the applier takes next: a durable group, or one of the
// occasions that must come in order with them.
type commit struct {
	group  wal.Group
	failed error
	lost   *loss
	close  chan<- chan struct{} // close the head and say what is closed once it is flushed
	end    bool                 // nothing follows
}

// Partition is where a conversation, or any other key, belongs: FNV-1a (64 bit)
// over the tenant in 4 bytes, little-endian, and the id, modulo the partitions.
func (e *Engine) Partition(tenant parley.TenantID, id [16]byte) parley.PartitionID {
	const offset, prime = 14695981039346656037, 1099511628211
	var t [4]byte
	binary.LittleEndian.PutUint32(t[:], uint32(tenant))
	h := uint64(offset)
	for _, b := range t {
		h = (h ^ uint64(b)) * prime
	}
	for _, b := range id {
		h = (h ^ uint64(b)) * prime
	}
	return parley.PartitionID(h % uint64(len(e.partitions)))
}

// Partitions is their number.
func (e *Engine) Partitions() int { return len(e.partitions) }

// Incarnation changes when the store was put back from a copy.
func (e *Engine) Incarnation() parley.Incarnation { return e.incarnation }

// Append hands over a batch. It waits for no disk. When it returns an error
// nothing of the batch was taken and Done is not called; a parley.Code says
// what the caller may do.
func (e *Engine) Append(b *Batch) error {
	for i := range b.Commands {
		if p := b.Commands[i].Partition; int(p) >= len(e.partitions) {
			return fmt.Errorf("%w: partition %d of %d", parley.BadRequest, p, len(e.partitions))
		}
	}
	if e.diskLow.Load() {
		e.stats.refusedDisk.Add(1)
		return parley.DiskFull
	}
	if b.Grows && e.rowCount.Load() >= int64(e.opts.RowsMax) {
		e.stats.refusedRows.Add(1)
		return fmt.Errorf("%w: %d rows", parley.Overloaded, e.opts.RowsMax)
	}
	if cap(b.Results) < len(b.Commands) {
		b.Results = make([]Result, len(b.Commands))
	}
	b.Results = b.Results[:len(b.Commands)]
	b.Err, b.applied, b.expect = nil, 0, len(b.Commands)
	return e.propose(b)
}

func (e *Engine) propose(b *Batch) error {
	e.intake.Lock()
	defer e.intake.Unlock()
	if e.err != nil {
		return e.err
	}
	if len(b.Commands) == 0 {
		return fmt.Errorf("%w: empty batch", parley.BadRequest)
	}
	newest := e.stamped
	e.stamp(b.Commands)
	if err := e.log.Propose(b.Commands); err != nil {
		e.stamped = newest
		switch {
		case errors.Is(err, wal.ErrFull):
			e.stats.refusedFull.Add(1)
			return parley.Overloaded
		case errors.Is(err, wal.ErrTooLarge):
			return fmt.Errorf("%w: %w", parley.TooLarge, err)
		case errors.Is(err, wal.ErrFailed):
			return fmt.Errorf("%w: %w", ErrFailed, err) // the applier has not heard of it yet
		}
		return fmt.Errorf("append: %w", err)
	}
	e.pending.add(b)
	return nil
}

// stamp gives commands their time. In the log it never runs backwards.
func (e *Engine) stamp(cmds []Command) {
	now := int64(0)
	for i := range cmds {
		c := &cmds[i]
		if c.Time == 0 {
			if now == 0 {
				now = e.opts.Now().UnixMicro()
			}
			c.Time = now
		}
		e.stamped = max(e.stamped, c.Time)
		c.Time = e.stamped
	}
}

// Floor is a stamp below which nothing will be applied any more: whoever has
// seen the rows after asking for it has seen every change stamped before it.
func (e *Engine) Floor() int64 { return e.floor.Load() }

// AppendWait appends the commands as one batch and waits for their results.
// When ctx ends first they may still be applied.
func (e *Engine) AppendWait(ctx context.Context, cmds ...Command) ([]Result, error) {
	done := make(chan struct{})
	b := &Batch{Commands: cmds, Done: func(*Batch) { close(done) }}
	if err := e.Append(b); err != nil {
		return nil, err
	}
	select {
	case <-done:
		return b.Results, b.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// View shows the rows of a partition, between two commands. The function must
// neither wait nor keep what it was shown.
func (e *Engine) View(p parley.PartitionID, f func(v *View)) {
	part := e.partitions[p]
	part.mu.RLock()
	defer part.mu.RUnlock()
	f(&part.view)
}

// View is a look at one partition.
type View struct{ p *partition }

// Find is the slot of a row, nil where there is none.
func (v *View) Find(k Key) *Slot {
	s := v.p.rows.find(k)
	if s == nil || s.row == nil {
		return nil
	}
	return s
}

// Each calls f for every row of a table, in no order.
func (v *View) Each(table uint8, f func(k Key, s *Slot)) {
	for s := range v.p.rows.all() {
		if s.key.Table == table && s.row != nil {
			f(s.key, s)
		}
	}
}

// Time is the stamp of the newest command applied, in microseconds.
func (v *View) Time() int64 { return v.p.time }

// Checkpoint closes the open head and returns when it and all before it are
// flushed: a later Open has nothing before it to replay.
func (e *Engine) Checkpoint(ctx context.Context) error {
	closed := make(chan chan struct{}, 1)
	select {
	case e.commits <- commit{close: closed}:
	case <-e.ended:
		return e.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
	var flushed chan struct{}
	select {
	case flushed = <-closed:
	case <-e.ended:
		return e.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
	if flushed == nil {
		return nil
	}
	select {
	case <-flushed:
		return nil
	case <-e.ended:
		return e.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err is the error that ended the engine, nil while it takes commands.
func (e *Engine) Err() error { return e.failure() }

func (e *Engine) failure() error {
	e.intake.Lock()
	defer e.intake.Unlock()
	return e.err
}

// fail ends the engine: nothing more is taken, and what can still be finished
// is left to the log, from which the next Open takes it up.
func (e *Engine) fail(err error) {
	e.intake.Lock()
	first := e.err == nil || errors.Is(e.err, ErrClosed)
	if first {
		e.err = fmt.Errorf("%w: %w", ErrFailed, err)
		close(e.ended)
	}
	e.intake.Unlock()
	if first && e.opts.Failed != nil {
		e.opts.Failed(e.err)
	}
}

// Close finishes what was taken, flushes, and releases the folder. It returns
// the error that ended the engine, if one did. A second Close returns nil.
func (e *Engine) Close() error {
	e.intake.Lock()
	if e.closing {
		e.intake.Unlock()
		return nil
	}
	e.closing = true
	failed := e.err
	if e.err == nil {
		e.err = ErrClosed
	}
	var idle chan struct{}
	if failed == nil && e.pending.len() > 0 {
		idle = make(chan struct{})
		e.idle = idle
	}
	e.intake.Unlock()

	if idle != nil {
		select {
		case <-idle:
		case <-e.ended:
		}
	}
	if failed == nil {
		failed = e.Checkpoint(context.Background())
	}
	return errors.Join(failed, e.stop())
}

// stop ends the goroutines in the order of the data's way.
func (e *Engine) stop() error {
	var err error
	if e.log != nil {
		err = e.log.Close()
		if errors.Is(err, wal.ErrFailed) {
			err = nil // told already, as what ended the engine
		}
	}
	e.commits <- commit{end: true}
	e.applier.Wait()
	close(e.flushes)
	e.flusher.Wait()
	if !isClosed(e.ended) {
		close(e.ended)
	}
	e.watcher.Wait()
	for _, p := range e.partitions {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}
	if e.log != nil {
		e.log.Release()
	}
	return errors.Join(err, e.segments.close(), e.catalogue.close(), e.lock.Close())
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
