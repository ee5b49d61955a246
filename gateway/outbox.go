package gateway

import (
	"github.com/valyala/bytebufferpool"

	"github.com/parleychat/parley/wire"
)

// An outbox is one buffer that becomes one write:
//
//	0          10              len
//	+----------+---------------+-------------------+
//	|   header | payload       | control frames    |
//	+----------+---------------+-------------------+
//
// Items of the payload are encoded where they will leave from. The header's
// length depends on the payload's, so it is put in front at the end, against
// the payload; control frames are then put behind it.
//
// The buffer is of the pool: an idle session holds none.
type outbox struct {
	buffer *bytebufferpool.ByteBuffer // nil when empty
	frames int                        // items in the payload
	pong   *bytebufferpool.ByteBuffer // what the last ping carried, if unanswered
	ping   bool
}

const headerRoom = 10 // the longest header without a key

var (
	headerSpace [headerRoom]byte
	outboxes    bytebufferpool.Pool
	pongs       bytebufferpool.Pool
)

// payload is how many bytes of items wait.
func (o *outbox) payload() int {
	if o.buffer == nil {
		return 0
	}
	return len(o.buffer.B) - headerRoom
}

// empty reports whether there is nothing to write.
func (o *outbox) empty() bool { return o.buffer == nil && o.pong == nil && !o.ping }

// bytes is the buffer to append an item to.
func (o *outbox) bytes() []byte {
	if o.buffer == nil {
		o.buffer = outboxes.Get()
		o.buffer.B = append(o.buffer.B[:0], headerSpace[:]...)
	}
	return o.buffer.B
}

// grown takes back what bytes gave, with one more item.
func (o *outbox) grown(s *Server, b []byte) {
	s.counters.outboxBytes.Add(int64(len(b) - len(o.buffer.B)))
	o.buffer.B = b
	o.frames++
}

// add appends a message.
func (o *outbox) add(s *Server, p wire.Subprotocol, m *wire.ServerMessage) {
	o.grown(s, wire.AppendServerMessage(o.bytes(), p, m))
}

// addEncoded appends a message that was encoded before.
func (o *outbox) addEncoded(s *Server, item []byte) { o.grown(s, append(o.bytes(), item...)) }

// answerPing keeps what a ping carried. Only the last ping is answered, as RFC
// 6455 allows, so a flood of them needs no memory.
func (o *outbox) answerPing(payload []byte) {
	if o.pong == nil {
		o.pong = pongs.Get()
	}
	o.pong.B = append(o.pong.B[:0], payload...)
}

// sealed is what an outbox becomes.
type sealed struct {
	buffer *bytebufferpool.ByteBuffer
	start  int // of the bytes in the buffer
	frames int
}

func (w sealed) bytes() []byte { return w.buffer.B[w.start:] }

// seal empties the outbox into one write.
func (o *outbox) seal(s *Server, p wire.Subprotocol) sealed {
	payload := o.payload()
	w := sealed{start: headerRoom, frames: o.frames}
	o.bytes()
	w.buffer = o.buffer
	if payload > 0 {
		var room [headerRoom]byte
		header := wire.AppendHeader(room[:0], wire.Header{Fin: true, Opcode: p.Opcode(), Length: payload})
		w.start -= len(header)
		copy(w.buffer.B[w.start:], header)
	}
	if o.pong != nil {
		w.control(wire.OpPong, o.pong.B)
		pongs.Put(o.pong)
	}
	if o.ping {
		w.control(wire.OpPing, nil)
	}
	*o = outbox{}
	s.counters.outboxBytes.Add(int64(len(w.bytes()) - payload))
	return w
}

// control appends a control frame.
func (w sealed) control(op wire.Opcode, payload []byte) {
	b := wire.AppendHeader(w.buffer.B, wire.Header{Fin: true, Opcode: op, Length: len(payload)})
	w.buffer.B = append(b, payload...)
}

// release drops what waits.
func (o *outbox) release(s *Server) {
	s.counters.outboxBytes.Add(-int64(o.payload()))
	if o.buffer != nil {
		outboxes.Put(o.buffer)
	}
	if o.pong != nil {
		pongs.Put(o.pong)
	}
	*o = outbox{}
}
