package gateway

import (
	"sync"

	"github.com/parleychat/parley/wire"
)

// flusher is the one goroutine that writes to sockets.
//
// A session that has something to say is in its list once, however much is added
// to its outbox. Whoever ends a batch wakes the flusher and goes on with the
// next, whose frames gather while this one is written. Having the caller write
// a batch of few sessions itself was tried: it saved nothing that could be
// measured, and made two who may write.
type flusher struct {
	wake chan struct{} // holds one

	mu    sync.Mutex // guards below
	dirty []*session
}

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
	return list
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
		for list = f.take(list); len(list) > 0; list = f.take(list) {
			writeAll(list)
			if stopped(stop) {
				return
			}
		}
	}
}

func writeAll(list []*session) {
	for _, c := range list {
		c.flush()
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// Flush ends a batch of replies and pushes: what has gathered is written now.
// Without it, it is written within a quarter of a second.
func (s *Server) Flush() {
	select {
	case s.flusher.wake <- struct{}{}:
	default:
	}
}

// markLocked puts the session in the flusher's list, once.
func (c *session) markLocked() {
	if !c.dirty {
		c.dirty = true
		c.server.flusher.add(c)
	}
}

// flush writes what has gathered, in one write. While the transport still holds
// some of the last write, it is left to the end of that.
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

// endWrite looks what is to follow the write.
func (c *session) endWrite(w sealed) {
	outboxes.Put(w.buffer)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == closing {
		c.markLocked() // to finish
	}
	if c.backlog > 0 {
		c.server.heart.watch(c, c.turn)
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
		c.server.Flush()
	}
}

// stuck reports whether a write is still not read.
func (c *session) stuck(turn int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == living && c.backlog > 0 && c.turn == turn
}
