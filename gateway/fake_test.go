package gateway

import (
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// fake is a transport without a socket, and the client at its other end. Its
// events come on a goroutine of its own, as a poller's do.
type fake struct {
	t        testing.TB
	session  *session
	protocol wire.Subprotocol
	events   chan func()
	over     chan struct{}
	ended    bool // owned by run

	mu       sync.Mutex
	stalled  bool // the kernel takes nothing
	held     int  // bytes that it has not taken
	out      []byte
	writes   int
	shut     bool
	deaf     bool // the client does not close when it sees the end
	closed   bool
	frames   wire.Reassembler
	messages []*wire.ServerMessage
	pings    int
	pongs    []string
	code     wire.CloseCode
}

// newFakeServer starts a gateway without a poller. Its sessions are ended and
// its books checked at the end of the test.
func newFakeServer(t testing.TB, o Options) (*Server, *backend) {
	t.Helper()
	s := New(quiet(o))
	b := newBackend(s)
	s.start(b)
	return s, b
}

// closeFake ends a gateway of newFakeServer, inside its bubble.
func closeFake(t testing.TB, s *Server, b *backend, fakes ...*fake) {
	t.Helper()
	for _, f := range fakes {
		f.close()
		<-f.over
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkBooks(t, s, b)
}

// connect opens a session of a user on a fake.
func connect(t testing.TB, s *Server, name string, p wire.Subprotocol, expires time.Time) *fake {
	t.Helper()
	c, err := s.admit(parley.Identity{User: user(name)}, parley.DeviceID{}, p, expires)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, session: c, protocol: p, frames: wire.Reassembler{Limit: serverFrameMax}, events: make(chan func(), 1024), over: make(chan struct{})}
	go f.run()
	f.do(func() { c.open(f) })
	s.Flush()
	return f
}

func (f *fake) run() {
	defer close(f.over)
	for !f.ended {
		(<-f.events)()
	}
}

// do has the poller do something and waits for it. After the end it does
// nothing.
func (f *fake) do(event func()) {
	done := make(chan struct{})
	select {
	case f.events <- func() { event(); close(done) }:
	case <-f.over:
		return
	}
	select {
	case <-done:
	case <-f.over:
	}
}

func (f *fake) write(b []byte) {
	f.mu.Lock()
	if f.shut {
		f.t.Error("write after shutdown")
	}
	if f.held > 0 {
		f.t.Error("a write while the transport holds some of the last one")
	}
	f.out = append(f.out, b...)
	f.writes++
	stalled := f.stalled
	if stalled {
		f.held += len(b)
	}
	f.mu.Unlock()
	if !stalled {
		f.session.written(len(b))
	}
}

func (f *fake) shutdown() {
	f.mu.Lock()
	f.shut = true
	deaf := f.deaf
	f.mu.Unlock()
	if !deaf {
		f.close()
	}
}

func (f *fake) close() {
	f.mu.Lock()
	again := f.closed
	f.closed = true
	f.mu.Unlock()
	if again {
		return
	}
	f.events <- func() {
		f.session.ended()
		f.ended = true
	}
}

// stall has the kernel take nothing more.
func (f *fake) stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = true
}

// unstall has the kernel take everything, from now on.
func (f *fake) unstall() {
	f.mu.Lock()
	f.stalled = false
	n := f.held
	f.held = 0
	f.mu.Unlock()
	f.session.written(n)
}

// request sends requests in one WebSocket message.
func (f *fake) request(requests ...*wire.Request) {
	f.t.Helper()
	f.receive(clientMessage(f.protocol, requests...))
}

// receive has the session read bytes.
func (f *fake) receive(b []byte) {
	f.do(func() { f.session.received(b) })
}

// read takes in what was written.
func (f *fake) read() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.out) > 0 {
		frame, n, err := f.frames.Next(f.out)
		if err != nil {
			f.t.Fatal(err)
		}
		if n == 0 {
			break
		}
		f.out = f.out[n:]
		f.take(frame)
	}
}

func (f *fake) take(frame wire.Frame) {
	switch frame.Opcode {
	case wire.OpPing:
		f.pings++
	case wire.OpPong:
		f.pongs = append(f.pongs, string(frame.Payload))
	case wire.OpClose:
		f.code, _, _ = wire.ParseClose(frame.Payload)
	default:
		if frame.Opcode != f.protocol.Opcode() {
			f.t.Errorf("%v message on %v", frame.Opcode, f.protocol)
		}
		var d wire.ServerMessageDecoder // its memory is the messages'
		messages, err := d.Decode(f.protocol, frame.Payload)
		if err != nil {
			f.t.Error(err)
		}
		f.messages = append(f.messages, messages...)
	}
}

// got takes in what was written, and returns and forgets the messages.
func (f *fake) got() []*wire.ServerMessage {
	f.t.Helper()
	f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	messages := f.messages
	f.messages = nil
	return messages
}

// closeCode is that of the close frame, or 0.
func (f *fake) closeCode() wire.CloseCode {
	f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.code
}

// writeCount is how often the session wrote.
func (f *fake) writeCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// sink is a transport that takes everything.
type sink struct{ session *session }

func (k *sink) write(b []byte) { k.session.written(len(b)) }
func (k *sink) shutdown()      {}
func (k *sink) close()         { k.session.ended() }

// sinkSession opens a session on a sink.
func sinkSession(t testing.TB, s *Server, name string) *session {
	t.Helper()
	c, err := s.admit(parley.Identity{User: user(name)}, parley.DeviceID{}, wire.Binary, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	c.open(&sink{c})
	return c
}

// clientFrame is a masked frame.
func clientFrame(op wire.Opcode, fin bool, payload []byte) []byte {
	h := wire.Header{Fin: fin, Opcode: op, Masked: true, Key: [4]byte{0x1f, 2, 0xe3, 4}, Length: len(payload)}
	b := wire.AppendHeader(nil, h)
	start := len(b)
	b = append(b, payload...)
	wire.Mask(b[start:], h.Key)
	return b
}

// clientMessage is one WebSocket message with requests.
func clientMessage(p wire.Subprotocol, requests ...*wire.Request) []byte {
	var payload []byte
	for _, r := range requests {
		payload = wire.AppendRequest(payload, p, r)
	}
	return clientFrame(p.Opcode(), true, payload)
}

var conversation = make([]byte, 16)

// send is a request to send.
func send(id uint32, stream parley.StreamID) *wire.Request {
	return &wire.Request{Id: id, Send: &wire.Send{Conversation: conversation, Stream: uint64(stream), Number: id, Kind: wire.Kind_KIND_TEXT, Text: "hello"}}
}

// state is a request that asks for one conversation.
func getState(id uint32) *wire.Request {
	return &wire.Request{Id: id, State: &wire.GetState{Conversation: conversation}}
}

// message is a push.
func message(seq uint64) *wire.ServerMessage {
	return &wire.ServerMessage{Message: &wire.Message{Conversation: conversation, Seq: seq, From: "ann", Text: "hello"}}
}
