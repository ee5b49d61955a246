package wal

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/internal/invariant"
	"github.com/parleychat/parley/internal/mutant"
)

// Record is one record of a batch: the bytes of Head, then those of Body. It
// is in two parts so that a caller with a fixed header need not build it in
// one piece first. Both are copied before Append returns.
type Record struct{ Head, Body []byte }

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	// Fixed by Open.
	fs   vfs.FS
	dir  string
	opts Options
	lock io.Closer
	wg   sync.WaitGroup

	prepare chan struct{} // a file is wanted; capacity 1
	stop    chan struct{} // closed by Close

	mu      sync.Mutex // guards below
	work    sync.Cond  // something to commit, or closing
	current *file      // takes new records
	open    frame      // the frame of current that is being filled
	sealed  []frame    // complete, waiting for the committer, oldest first
	next    *file      // prepared, empty
	full    []*file    // hold records, are not current; oldest first
	free    []*file    // to be recycled; lowest number first
	spare   [][]byte   // buffers without a file
	number  uint64     // of the newest file
	nextLSN LSN
	durable LSN
	waiters chan struct{} // closed at the next commit; nil when nobody waits
	err     error         // set once the log has failed or was closed
	closing bool
	stats   Stats
}

// Stats counts what a log has done since Open.
type Stats struct {
	Frames, Records, Bytes uint64 // committed; bytes with padding
	Refused                uint64 // batches answered ErrFull
	Files                  int    // that hold records, are prepared or kept for recycling
	FilesMax               int
}

// frame is a stretch of one file's buffer that is written at once.
type frame struct {
	file  *file
	start int // of the header
	end   int // of the records
	first LSN
	count int
	final bool // the empty frame of a log closed in good order
}

// Append copies a batch of records into the log, in order and one behind the
// other, and returns the LSN of the first. It waits for no disk. The records
// are durable when Commit says so. After an error nothing of the batch was
// stored.
func (l *Log) Append(records []Record) (first LSN, err error) {
	need := 0
	for i := range records {
		need += recordHeaderSize + len(records[i].Head) + len(records[i].Body)
	}
	if need > l.opts.BatchMax {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, need, l.opts.BatchMax)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if len(records) == 0 {
		return l.nextLSN, nil
	}
	if err := l.makeRoom(need); err != nil {
		return 0, err
	}
	first = l.nextLSN
	for i := range records {
		l.open.end = putRecord(l.current.buffer, l.open.end, &records[i])
	}
	if l.open.count == 0 {
		l.open.first = first
		l.work.Signal()
	}
	l.open.count += len(records)
	l.nextLSN += LSN(len(records))
	return first, nil
}

// makeRoom leaves the open frame with need bytes to spare, in a new frame or a
// new file where it must.
func (l *Log) makeRoom(need int) error {
	if l.open.end+need <= l.current.limit {
		if l.open.count > 0 && l.open.end-l.open.start+need > l.opts.BatchMax {
			start := alignUp(l.open.end)
			if start+frameHeaderSize+need <= l.current.limit {
				l.seal()
				return nil
			}
			return l.rotate()
		}
		return nil
	}
	return l.rotate()
}

// seal hands the open frame to the committer and begins the next behind it.
func (l *Log) seal() {
	l.sealed = append(l.sealed, l.open)
	l.current.last = l.open.first + LSN(l.open.count) - 1
	l.open = newFrame(l.current, alignUp(l.open.end))
	l.work.Signal()
}

// rotate goes on in the prepared file.
func (l *Log) rotate() error {
	if l.next == nil {
		l.stats.Refused++
		return ErrFull
	}
	if l.open.count > 0 {
		l.seal()
	}
	l.full = append(l.full, l.current)
	l.current, l.next = l.next, nil
	l.open = newFrame(l.current, blockSize)
	l.wantFile()
	return nil
}

// Rotate ends the current file, so that the next record begins another. It
// reports false where the current file is empty or no other is ready.
func (l *Log) Rotate() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.next == nil || l.open.count == 0 && l.current.last == 0 {
		return false
	}
	return l.rotate() == nil
}

func newFrame(f *file, start int) frame {
	return frame{file: f, start: start, end: start + frameHeaderSize}
}

// AppendWait appends and waits until the records are durable; it returns the
// LSN of the last. When ctx ends first the records may still become durable.
func (l *Log) AppendWait(ctx context.Context, records ...Record) (last LSN, err error) {
	first, err := l.Append(records)
	if err != nil {
		return 0, err
	}
	last = first + LSN(len(records)) - 1
	return last, l.Wait(ctx, last)
}

// Wait returns nil once the record and all before it are durable.
func (l *Log) Wait(ctx context.Context, lsn LSN) error {
	for {
		l.mu.Lock()
		durable, err := l.durable, l.err
		if err == ErrClosed && lsn < l.nextLSN { //nolint:errorlint // identity: our own sentinel, unwrapped
			err = nil // Close commits it, or the log fails
		}
		if l.waiters == nil {
			l.waiters = make(chan struct{})
		}
		committed := l.waiters
		l.mu.Unlock()
		if durable >= lsn {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-committed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Durable is the last LSN that is on stable storage.
func (l *Log) Durable() LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Stats returns the counts so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Files = l.files()
	s.FilesMax = l.opts.FilesMax
	return s
}

// Close commits what was appended, marks the log as closed in good order and
// unlocks the folder. It returns the error that ended the log, if one did. A second
// Close returns nil.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return nil
	}
	l.closing = true
	failed := l.err
	if l.err == nil {
		l.err = ErrClosed
	}
	close(l.stop)
	l.work.Signal()
	l.mu.Unlock()
	l.wg.Wait()

	l.mu.Lock()
	defer l.mu.Unlock()
	if failed == nil && l.err != ErrClosed { //nolint:errorlint // identity: our own sentinel, unwrapped
		failed = l.err
	}
	l.notify()
	l.closeFiles()
	if !l.opts.Retain {
		l.freeBuffers()
	}
	if err := l.lock.Close(); failed == nil && err != nil {
		failed = fmt.Errorf("unlock: %w", err)
	}
	return failed
}

// Release gives the buffers of a closed log back. With Retain they are readable
// until then; without it Close has done it already.
func (l *Log) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		l.freeBuffers()
	}
}

// all is every file, some of them nil.
func (l *Log) all() []*file {
	return append(append([]*file{l.current, l.next}, l.full...), l.free...)
}

func (l *Log) closeFiles() {
	for _, f := range l.all() {
		if f != nil {
			f.close()
		}
	}
}

func (l *Log) freeBuffers() {
	for _, f := range l.all() {
		if f != nil {
			freeBuffer(f.buffer)
			f.buffer = nil
		}
	}
	for _, b := range l.spare {
		freeBuffer(b)
	}
	l.spare = nil
}

func (l *Log) notify() {
	if l.waiters != nil {
		close(l.waiters)
		l.waiters = nil
	}
}

func (l *Log) wantFile() {
	select {
	case l.prepare <- struct{}{}:
	default:
	}
}

// commitLoop writes one frame after another.
func (l *Log) commitLoop() {
	for {
		f, ok := l.takeFrame()
		if !ok {
			return
		}
		if mutant.On(mutant.AckBeforeWrite) && !f.final {
			l.opts.commit(f)
		}
		if err := l.write(f); err != nil {
			l.fail(err)
			return
		}
		if !f.final && !mutant.On(mutant.AckBeforeWrite) {
			l.opts.commit(f)
		}
		l.committed(f)
	}
}

func (o *Options) commit(f frame) {
	if o.Commit != nil {
		o.Commit(f.group())
	}
}

func (f *frame) group() Group {
	return Group{
		First: f.first, Count: f.count, File: f.file.number,
		Buffer: f.file.buffer, Offset: f.start + frameHeaderSize,
	}
}

// takeFrame waits for a frame to write. It reports false when there will be no
// more.
func (l *Log) takeFrame() (frame, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.sealed) == 0 && l.open.count == 0 && !l.closing {
		l.work.Wait()
	}
	if len(l.sealed) == 0 && l.open.count > 0 {
		l.seal()
	}
	if len(l.sealed) > 0 {
		f := l.sealed[0]
		l.sealed = append(l.sealed[:0], l.sealed[1:]...)
		return f, true
	}
	if l.open.final || l.open.end > l.current.limit {
		return frame{}, false
	}
	l.open.final = true
	l.open.first = l.nextLSN
	return l.open, true
}

// write makes the frame durable: one write, one sync.
func (l *Log) write(f frame) error {
	end := f.complete()
	if mutant.On(mutant.TwoFramesInOneWrite) {
		l.mu.Lock()
		if len(l.sealed) > 0 && l.sealed[0].start == end && l.sealed[0].file == f.file {
			end = l.sealed[0].complete()
		}
		l.mu.Unlock()
	}
	return f.file.writeAt(f.file.buffer[f.start:end], int64(f.start))
}

// complete puts the header before the frame's records and zeros behind them,
// and returns where the next frame begins.
func (f *frame) complete() (next int) {
	b := f.file.buffer[f.start:f.end]
	putFrame(b, frameHeader{
		length: uint32(len(b) - frameHeaderSize), count: uint32(f.count),
		first: f.first, epoch: f.file.epoch,
	})
	next = alignUp(f.end)
	clear(f.file.buffer[f.end:next])
	return next
}

func (l *Log) committed(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.final {
		return
	}
	want := l.durable + 1
	if f.first != want {
		invariant.Violated("frame of record %d committed where %d was due", f.first, want)
	}
	l.durable = f.first + LSN(f.count) - 1
	l.stats.Frames++
	l.stats.Records += uint64(f.count)
	l.stats.Bytes += uint64(alignUp(f.end) - f.start)
	if !l.opts.Retain && f.file != l.current && f.file.last == l.durable {
		l.spare = append(l.spare, f.file.buffer)
		f.file.buffer = nil
	}
	l.notify()
}

// fail ends the log. Nothing is tried again: after a failed sync the kernel may
// have marked pages clean that never reached the disk.
func (l *Log) fail(err error) {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	if l.opts.Failed != nil {
		l.opts.Failed(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	l.notify()
}
