package bench

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// fake is a small server in memory that keeps the protocol's promises, but for
// what a test has it break.
type fake struct {
	*httptest.Server
	connections sync.WaitGroup

	// These let a test change what is told about the n-th message of all. It is
	// called with mu held.
	onSent   func(n int, reply *wire.ServerMessage)
	onPush   func(n int, push *wire.ServerMessage) []*wire.ServerMessage
	onRefuse func(n int) *wire.Error // instead of storing it
	onState  func(*wire.State)
	onPage   func(*wire.Page)

	mu            sync.Mutex
	sessions      map[string]*fakeSession
	conversations map[parley.ConversationID]*fakeConversation
	sends         int
	streams       uint64
}

type fakeConversation struct {
	id       parley.ConversationID
	users    [2]string
	messages []*wire.Message
	next     map[uint64]uint32 // number expected of a stream
	marks    [2]wire.Mark
}

type fakeSession struct {
	fake   *fake
	user   string
	stream uint64
	proto  wire.Subprotocol
	socket net.Conn

	mu     sync.Mutex
	pushes uint64
	closed bool
}

func newFake(t *testing.T) *fake {
	f := &fake{sessions: map[string]*fakeSession{}, conversations: map[parley.ConversationID]*fakeConversation{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/dev/token", func(w http.ResponseWriter, r *http.Request) {
		var question struct{ User string }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": question.User})
	})
	mux.HandleFunc("GET /ws", f.serve)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.Close()
		f.connections.Wait()
	})
	return f
}

func (f *fake) url() string { return "ws" + strings.TrimPrefix(f.URL, "http") + "/ws" }

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	proto, _ := wire.ParseSubprotocol(r.Header.Get("Sec-WebSocket-Protocol"))
	socket, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer socket.Close()
	f.connections.Add(1)
	defer f.connections.Done()
	_, _ = fmt.Fprintf(socket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		wire.AcceptKey(r.Header.Get("Sec-WebSocket-Key")), proto)
	f.mu.Lock()
	f.streams++
	s := &fakeSession{fake: f, user: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), stream: f.streams, proto: proto, socket: socket}
	f.sessions[s.user] = s
	f.mu.Unlock()
	s.tell(&wire.ServerMessage{Welcome: &wire.Welcome{User: s.user, Stream: s.stream, HeartbeatMs: 30_000, BodyMax: 4096, FrameMax: 64 << 10, RequestsMax: 256}})
	s.read(buffered.Reader)
}

func (s *fakeSession) read(r *bufio.Reader) {
	frames, decoder := wire.Reassembler{Server: true}, wire.RequestDecoder{}
	var buffer []byte
	chunk := make([]byte, 64<<10)
	for {
		frame, n, err := frames.Next(buffer)
		switch {
		case err != nil || n > 0 && frame.Opcode == wire.OpClose:
			return
		case n == 0:
			n, err := r.Read(chunk)
			if err != nil {
				return
			}
			buffer = append(buffer, chunk[:n]...)
			continue
		}
		if frame.Opcode == s.proto.Opcode() {
			requests, err := decoder.Decode(s.proto, frame.Payload)
			if err != nil {
				return
			}
			s.fake.mu.Lock()
			for _, q := range requests {
				s.fake.handle(s, q)
			}
			s.fake.mu.Unlock()
		}
		buffer = buffer[n:]
	}
}

// tell writes messages as one frame.
func (s *fakeSession) tell(messages ...*wire.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var payload []byte
	for _, m := range messages {
		payload = wire.AppendServerMessage(payload, s.proto, m)
	}
	if len(payload) == 0 || s.closed {
		return
	}
	frame := wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: s.proto.Opcode(), Length: len(payload)})
	_ = s.socket.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := s.socket.Write(append(frame, payload...)); err != nil {
		s.closed = true
	}
}

func (f *fake) handle(s *fakeSession, q *wire.Request) {
	reply := &wire.ServerMessage{ReplyTo: q.Id}
	switch {
	case q.Create != nil:
		reply.State = f.state(f.create(s.user, q.Create.Peer), s.user)
	case q.Send != nil:
		f.send(s, q.Send, reply)
	case q.Acknowledge != nil:
		for _, m := range q.Acknowledge.Marks {
			f.mark(s, m)
		}
		reply.Done = &wire.Done{}
	case q.History != nil:
		reply.Page = f.history(q.History)
		if f.onPage != nil {
			f.onPage(reply.Page)
		}
	case q.State != nil:
		reply.State = f.state(f.conversations[parley.ConversationID(q.State.Conversation)], s.user)
		if f.onState != nil {
			f.onState(reply.State)
		}
	}
	if q.Id != 0 {
		s.tell(reply)
	}
}

func (f *fake) create(a, b string) *fakeConversation {
	users := [2]string{min(a, b), max(a, b)}
	h := sha256.Sum256([]byte(users[0] + "/" + users[1]))
	id := parley.ConversationID(h[:16])
	if f.conversations[id] == nil {
		f.conversations[id] = &fakeConversation{id: id, users: users, next: map[uint64]uint32{}}
	}
	return f.conversations[id]
}

func (c *fakeConversation) side(user string) int {
	if c.users[1] == user {
		return 1
	}
	return 0
}

func (f *fake) state(c *fakeConversation, user string) *wire.State {
	me := c.side(user)
	unread := uint64(0)
	for _, m := range c.messages {
		if m.From != user && m.Seq > c.marks[me].Read {
			unread++
		}
	}
	return &wire.State{
		Conversation: c.id[:], Last: uint64(len(c.messages)), Unread: unread,
		Delivered: c.marks[me].Delivered, Read: c.marks[me].Read,
	}
}

func (f *fake) send(s *fakeSession, q *wire.Send, reply *wire.ServerMessage) {
	f.sends++
	c := f.conversations[parley.ConversationID(q.Conversation)]
	if f.onRefuse != nil {
		if reply.Error = f.onRefuse(f.sends); reply.Error != nil {
			return
		}
	}
	if want := c.next[q.Stream] + 1; q.Number != want {
		reply.Error = &wire.Error{Code: uint32(parley.RetryInOrder), Expected: want}
		return
	}
	c.next[q.Stream]++
	m := &wire.Message{
		Conversation: c.id[:], Seq: uint64(len(c.messages) + 1), From: s.user, Stream: q.Stream, Number: q.Number,
		Kind: q.Kind, Data: append([]byte(nil), q.Data...),
	}
	c.messages = append(c.messages, m)
	reply.Sent = &wire.Sent{Seq: m.Seq}
	if f.onSent != nil {
		f.onSent(f.sends, reply)
	}
	f.push(c.users[1-c.side(s.user)], &wire.ServerMessage{Message: m})
}

func (f *fake) push(to string, m *wire.ServerMessage) {
	s := f.sessions[to]
	if s == nil {
		return
	}
	pushes := []*wire.ServerMessage{m}
	if f.onPush != nil && m.Message != nil {
		pushes = f.onPush(f.sends, m)
	}
	s.pushes++
	s.tell(append(pushes, &wire.ServerMessage{Check: &wire.Check{Pushes: s.pushes}})...)
}

func (f *fake) mark(s *fakeSession, m *wire.Mark) {
	c := f.conversations[parley.ConversationID(m.Conversation)]
	mine := &c.marks[c.side(s.user)]
	if m.Delivered <= mine.Delivered && m.Read <= mine.Read {
		return
	}
	mine.Delivered, mine.Read = max(m.Delivered, mine.Delivered), max(m.Read, mine.Read)
	f.push(c.users[1-c.side(s.user)], &wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: c.id[:], User: s.user, Delivered: mine.Delivered, Read: mine.Read}})
}

func (f *fake) history(q *wire.History) *wire.Page {
	c := f.conversations[parley.ConversationID(q.Conversation)]
	last := uint64(len(c.messages))
	page := &wire.Page{Conversation: c.id[:], Last: last, From: q.From, To: min(last, q.From+199)}
	if q.To != 0 {
		page.To = min(page.To, q.To)
	}
	for seq := page.From; seq <= page.To; seq++ {
		page.Items = append(page.Items, &wire.Item{Message: c.messages[seq-1]})
	}
	return page
}
