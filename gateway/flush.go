package gateway

import (
	"sync"

	"github.com/parleychat/parley/wire"
)

// flusher writes the sessions that have something to say.
//
// A session is in the list once, however much is added to its outbox; whoever
// flushes takes the list. Few sessions are written by the caller, for waking a
// goroutine costs more than a write or two; many by the flusher's goroutine, so
// that the caller goes on with its next batch, whose frames gather meanwhile.
type flusher struct {
	wake chan struct{} // holds one

	mu    sync.Mutex // guards below
	dirty []*session
	busy  bool // the goroutine is writing
}

// directMax is the number of sessions that a caller of Flush writes itself. A
// message between two people makes two: a receipt and a push.
const directMax = 2

func newFlusher() *flusher { return &flusher{wake: make(chan struct{}, 1)} }

// add puts a session in the list. Its lock is held.
func (f *flusher) add(c *session) {
	f.mu.Lock()
	f.dirty = append(f.dirty, c)
	f.mu.Unlock()
}

// take returns the list, and leaves the memory of the last one in its place.
func (f *flusher) take(last []*session) []*session {
	clear(last)
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.dirty
	f.dirty = last[:0]
	f.busy = len(list) > 0
	return list
}

// few copies the list if the caller should write it itself.
func (f *flusher) few(room *[directMax]*session) (n int, wake bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = len(f.dirty)
	if n == 0 || n > directMax || f.busy {
		return 0, n > 0
	}
	copy(room[:], f.dirty)
	clear(f.dirty)
	f.dirty = f.dirty[:0]
	return n, false
}

// run writes until stop is closed.
func (f *flusher) run(stop <-chan struct{}) {
	var list []*session
	for {
		select {
		case <-stop:
			return
		case <-f.wake:
		}
		for {
			if list = f.take(list); len(list) == 0 {
				break
			}
			for _, c := range list {
				c.flush()
			}
		}
	}
}

// now wakes the goroutine.
func (f *flusher) now() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Flush ends a batch of replies and pushes: what has gathered is written now, or
// by the flusher soon.
func (s *Server) Flush() {
	var room [directMax]*session
	n, wake := s.flusher.few(&room)
	if wake {
		s.flusher.now()
	}
	for _, c := range room[:n] {
		c.flush()
	}
}

// markLocked puts the session in the flusher's list, once.
func (c *session) markLocked() {
	if !c.dirty {
		c.dirty = true
		c.server.flusher.add(c)
	}
}

// flush writes what has gathered, in one write. While somebody else writes this
// session, or the transport still holds some of the last write, it leaves it to
// the end of that.
func (c *session) flush() {
	w, ok := c.startWrite()
	if !ok {
		return
	}
	c.conn.write(w.bytes())
	c.server.counters.wrote(w.frames, len(w.bytes()))
	c.endWrite(w)
}

// startWrite empties the outbox, if it may be written now.
func (c *session) startWrite() (sealed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = false
	switch {
	case c.conn == nil || c.state == gone || c.finished:
		return sealed{}, false
	case c.writing:
		c.again = true
		return sealed{}, false
	case c.backlog > 0:
		c.waiting = true
		return sealed{}, false
	}
	c.rideLocked()
	sayClose := c.state == closing && !c.closeSent
	if c.outbox.empty() && !sayClose {
		c.finishLocked()
		return sealed{}, false
	}
	w := c.outbox.seal(c.server, c.protocol)
	if sayClose {
		c.closeLocked(w)
	}
	c.writing = true
	c.turn++
	c.backlog = len(w.bytes())
	return w, true
}

// rideLocked adds the check that would be due soon, where a write is on its way
// anyhow.
func (c *session) rideLocked() {
	if c.state == living && c.pushes != c.told && !c.outbox.empty() && c.server.heart.soon(c) {
		c.checkLocked()
	}
}

// closeLocked appends the close frame to the last write.
func (c *session) closeLocked(w sealed) {
	before := len(w.buffer.B)
	var room [125]byte
	w.control(wire.OpClose, wire.AppendClose(room[:0], c.closeCode, c.closeReason))
	c.server.counters.outboxBytes.Add(int64(len(w.buffer.B) - before))
	c.closeSent = true
}

// finishLocked tells the transport that everything was said. A client that said
// so first is not waited for.
func (c *session) finishLocked() {
	if c.state != closing {
		return
	}
	c.finished = true
	if c.peerClosed {
		c.conn.close()
	} else {
		c.conn.shutdown()
	}
}

// endWrite looks what happened during the write.
func (c *session) endWrite(w sealed) {
	c.mu.Lock()
	outboxes.Put(w.buffer)
	c.writing = false
	wake := false
	switch {
	case c.state == gone:
		c.discardLocked()
	case c.again || c.state == closing:
		c.again = false
		c.markLocked()
		wake = true
	}
	if c.backlog > 0 {
		c.server.heart.watch(c, c.turn)
	}
	c.mu.Unlock()
	if wake {
		c.server.flusher.now()
	}
}

// written is the transport's word that the kernel has taken n bytes.
func (c *session) written(n int) {
	c.mu.Lock()
	c.server.counters.outboxBytes.Add(-int64(min(n, c.backlog)))
	c.backlog = max(c.backlog-n, 0)
	wake := c.backlog == 0 && c.waiting
	if wake {
		c.waiting = false
		c.markLocked()
	}
	c.mu.Unlock()
	if wake {
		c.server.flusher.now()
	}
}

// stuck reports whether a write is still not read.
func (c *session) stuck(turn int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == living && c.backlog > 0 && c.turn == turn
}
