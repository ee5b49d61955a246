package bench

import (
	"sync"

	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// batch gathers the requests that one wake-up of a connection brings about, so
// that they go out in one write. Its memory is used again; connections share
// batches, because writing copies.
type batch struct {
	out   []*wire.Request // in order
	bytes int             // about what they take

	sends []*wire.Request // with their Send and its body
	sent  int             // of sends, in use
	marks []*wire.Request // with their Acknowledge
	used  int             // of marks, in use
	free  []*wire.Mark    // not in use
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// marksPerRequest bounds the watermarks of one Acknowledge.
const marksPerRequest = 64

// requestOverhead is about what a request takes besides its body.
const requestOverhead = 48

// send adds a message, which the caller fills in. The capacity of its body may
// be used again.
func (b *batch) send(size int) *wire.Request {
	if b.sent == len(b.sends) {
		b.sends = append(b.sends, &wire.Request{Send: &wire.Send{}})
	}
	r := b.sends[b.sent]
	b.sent++
	b.add(r, size+requestOverhead)
	return r
}

// mark adds watermarks to the last Acknowledge, or to a new one.
func (b *batch) mark(conversation []byte, upTo uint64) {
	var r *wire.Request
	if n := len(b.out); n > 0 && b.out[n-1].Acknowledge != nil && b.out[n-1].Id == 0 && len(b.out[n-1].Acknowledge.Marks) < marksPerRequest {
		r = b.out[n-1]
	} else {
		if b.used == len(b.marks) {
			b.marks = append(b.marks, &wire.Request{Acknowledge: &wire.Acknowledge{}})
		}
		r = b.marks[b.used]
		b.used++
		b.add(r, 8)
	}
	var m *wire.Mark
	if n := len(b.free); n > 0 {
		m, b.free = b.free[n-1], b.free[:n-1]
	} else {
		m = &wire.Mark{}
	}
	m.Conversation, m.Delivered, m.Read = conversation, upTo, upTo
	r.Acknowledge.Marks = append(r.Acknowledge.Marks, m)
	b.bytes += 28
}

// add adds any request.
func (b *batch) add(r *wire.Request, bytes int) {
	b.out = append(b.out, r)
	b.bytes += bytes
}

// full reports whether the batch should be written before more is added: a
// WebSocket message has a largest size and a largest number of requests.
func (b *batch) full(frameMax int) bool {
	return b.bytes >= frameMax*3/4 || len(b.out) >= wire.RequestsPerFrameMax-1
}

// write sends what was gathered, and empties the batch.
func (b *batch) write(c *client.Conn) error {
	if len(b.out) == 0 {
		return nil
	}
	defer b.reset()
	return c.Write(b.out...)
}

// reset empties the batch.
func (b *batch) reset() {
	for _, r := range b.marks[:b.used] {
		b.free = append(b.free, r.Acknowledge.Marks...)
		r.Acknowledge.Marks = r.Acknowledge.Marks[:0]
	}
	clear(b.out)
	b.out, b.bytes, b.sent, b.used = b.out[:0], 0, 0, 0
}
