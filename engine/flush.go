package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/internal/mutant"
	"github.com/parleychat/parley/tiering/segment"
	"github.com/parleychat/parley/wal"
)

// flushLoop writes closed heads, oldest first.
func (e *Engine) flushLoop() {
	for h := range e.flushes {
		if e.failure() != nil && !errors.Is(e.failure(), ErrClosed) {
			continue // the log has it all
		}
		if err := e.flush(h); err != nil {
			e.fail(fmt.Errorf("flush: %w", err))
		}
	}
}

// flush makes a closed head durable: its segment, then the batch that names it.
// Only then are its log and its memory given back.
func (e *Engine) flush(h *head) error {
	e.captureAll(h)
	h.sortSlots()
	id := uint64(0)
	if h.count > 0 {
		e.nextSegment++
		id = e.nextSegment
	}
	setSegment(h, id)
	if mutant.On(mutant.CutPastLog) {
		h.cut.lsn += 8
		for i := range h.cut.partitions {
			h.cut.partitions[i].index++
		}
	}
	if mutant.On(mutant.CutBeforeSegment) && id > 0 {
		if err := e.catalogue.flush(h, &segment.Info{ID: id}); err != nil {
			return err
		}
	}
	info, err := e.writeSegment(h, id)
	if err != nil {
		return err
	}
	if mutant.On(mutant.DeleteBeforeCommit) {
		e.trim(h.last)
	}
	if err := e.catalogue.flush(h, info); err != nil {
		return err
	}
	e.stats.headsWaiting.Add(-1)
	e.release(h, id)
	e.stats.flushes.Add(1)
	e.trim(h.last)
	close(h.flushed)
	return nil
}

// captureAll copies the rows that have not changed since the closing. What did
// change was copied by the applier.
func (e *Engine) captureAll(h *head) {
	for i := range h.changes {
		p := e.partitions[h.changes[i].partition]
		p.mu.Lock()
		h.capture(i)
		p.mu.Unlock()
	}
}

// setSegment completes the images: a conversation with messages in this head
// has its newest segment here, another where it had it before. Only the flusher
// moves that, so that heads captured early get it right too.
func setSegment(h *head, id uint64) {
	here := make(map[*Slot]bool, len(h.slots))
	for _, s := range h.slots {
		here[s.slot] = true
	}
	for i := range h.changes {
		c := &h.changes[i]
		if c.removed {
			continue
		}
		newest := c.slot.segment
		if here[c.slot] {
			newest = id
		}
		binary.LittleEndian.PutUint64(c.image[8:], newest)
	}
}

func (e *Engine) writeSegment(h *head, id uint64) (*segment.Info, error) {
	if id == 0 {
		return nil, nil
	}
	w, err := segment.Create(e.fs, e.segmentPath(id), id)
	if err != nil {
		return nil, err
	}
	if err := e.writeRuns(w, h); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	info, err := w.Finish()
	if err != nil {
		return nil, err
	}
	if mutant.On(mutant.DirSyncForgotten) {
		return &info, nil
	}
	return &info, syncDir(e.fs, e.fs.PathJoin(e.dir, segmentsDir))
}

func (e *Engine) writeRuns(w *segment.Writer, h *head) error {
	var at []uint32
	for _, s := range h.slots {
		p := e.partitions[s.partition]
		p.mu.RLock()
		c, _ := s.slot.chainIn(h)
		previous := s.slot.segment
		p.mu.RUnlock()
		run := segment.Run{Partition: s.partition, Conversation: s.slot.key.A, Previous: previous, First: c.run.From}
		if err := w.Run(run); err != nil {
			return err
		}
		at = c.positions(at[:0])
		for _, i := range at {
			record := h.record(i)
			m := segment.Message{Index: recordIndex(record), Ordinal: h.entry(i).ordinal, Record: record}
			if err := w.Add(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// release points the conversations at the segment. From here on no reader
// looks into the head.
func (e *Engine) release(h *head, id uint64) {
	for _, s := range h.slots {
		p := e.partitions[s.partition]
		p.mu.Lock()
		s.slot.segment = id
		s.slot.chains = slices.DeleteFunc(s.slot.chains, func(c chain) bool { return c.head == h })
		p.mu.Unlock()
	}
	for _, c := range h.changes {
		p := e.partitions[c.partition]
		p.mu.Lock()
		if c.slot.dirty == h {
			c.slot.dirty = nil
			if c.slot.row == nil {
				p.rows.drop(c.slot)
				e.rowCount.Add(-1)
			}
		}
		p.mu.Unlock()
	}
}

// trim gives log files back. During Open there is no log yet; Open does it.
func (e *Engine) trim(lsn wal.LSN) {
	e.intake.Lock()
	l := e.log
	e.intake.Unlock()
	if l != nil {
		l.Trim(lsn)
	}
	e.trimmed.Store(uint64(lsn))
}

func (e *Engine) segmentPath(id uint64) string {
	return e.fs.PathJoin(e.dir, segmentsDir, segment.FileName(id))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
