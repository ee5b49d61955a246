package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// newServer starts a gateway behind net/http on a port of its own.
func newServer(t testing.TB, o Options) (s *Server, b *backend, addr string) {
	t.Helper()
	s = New(quiet(o))
	b = newBackend(s)
	if err := s.Start(b); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error)
	go func() { served <- web.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error("a second Close:", err)
		}
		_ = web.Close()
		<-served
		checkBooks(t, s, b)
	})
	return s, b, listener.Addr().String()
}

// client is the other end of a real socket.
type client struct {
	t        testing.TB
	conn     net.Conn
	protocol wire.Subprotocol
	frames   wire.Reassembler
	unread   []byte
	decoder  wire.ServerMessageDecoder
	reader   *bufio.Reader
}

// serverFrameMax is more than any write of a server in these tests.
const serverFrameMax = 64 << 20

func newClient(t testing.TB, conn net.Conn) *client {
	return &client{t: t, conn: conn, frames: wire.Reassembler{Limit: serverFrameMax}, reader: bufio.NewReaderSize(conn, 64<<10)}
}

const testKey = "dGhlIHNhbXBsZSBub25jZQ=="

// handshakeOf is a good handshake; edit changes its lines.
func handshakeOf(token string, p wire.Subprotocol, edit func(line string) string) string {
	lines := []string{
		"GET /ws HTTP/1.1", "Host: chat.example", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + testKey, "Sec-WebSocket-Protocol: " + p.String(),
		"Authorization: Bearer " + token,
	}
	var b strings.Builder
	for _, line := range lines {
		if edit != nil {
			line = edit(line)
		}
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String() + "\r\n"
}

// dialRaw connects, sends bytes and reads the head of the response.
func dialRaw(t testing.TB, addr, sent string) (*client, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatalf("response to %.60q: %v", sent, err)
	}
	return c, response
}

// dial opens a session and takes in the welcome.
func dial(t testing.TB, addr, token string, p wire.Subprotocol) *client {
	t.Helper()
	c, response := dialRaw(t, addr, handshakeOf(token, p, nil))
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("%s: %s", response.Status, body)
	}
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != wire.AcceptKey(testKey) {
		t.Fatalf("accept key %q", got)
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); got != p.String() {
		t.Fatalf("subprotocol %q", got)
	}
	c.protocol = p
	m, err := c.read()
	if err != nil || len(m) != 1 || m[0].Welcome == nil {
		t.Fatalf("instead of a welcome: %v, %v", m, err)
	}
	return c
}

// closeError is the close frame that ended a connection.
type closeError struct {
	code   wire.CloseCode
	reason string
}

func (e closeError) Error() string { return fmt.Sprintf("closed: %v %q", e.code, e.reason) }

// frame reads the next frame.
func (c *client) frame() (wire.Frame, error) {
	for {
		f, n, err := c.frames.Next(c.unread)
		if err != nil {
			return f, err
		}
		c.unread = c.unread[n:]
		if n > 0 {
			return f, nil
		}
		room := make([]byte, 64<<10)
		n, err = c.reader.Read(room)
		if err != nil {
			return f, err
		}
		c.unread = append(c.unread, room[:n]...)
	}
}

// read reads the messages of the next WebSocket message.
func (c *client) read() ([]*wire.ServerMessage, error) {
	for {
		f, err := c.frame()
		if err != nil {
			return nil, err
		}
		switch f.Opcode {
		case wire.OpClose:
			code, reason, _ := wire.ParseClose(f.Payload)
			return nil, closeError{code, reason}
		case c.protocol.Opcode():
			return c.decoder.Decode(c.protocol, f.Payload)
		}
	}
}

// closed reads to the close frame and the end of the stream behind it.
func (c *client) closed() wire.CloseCode {
	c.t.Helper()
	for {
		_, err := c.read()
		if e, ok := errors.AsType[closeError](err); ok {
			if _, err := c.frame(); err != io.EOF {
				c.t.Errorf("behind the close frame: %v", err)
			}
			return e.code
		}
		if err != nil {
			c.t.Fatalf("instead of a close frame: %v", err)
		}
	}
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) request(requests ...*wire.Request) {
	c.t.Helper()
	c.write(clientMessage(c.protocol, requests...))
}

// answer reads to the replies of these requests, in order, and returns the last.
func (c *client) answer(ids ...uint32) *wire.ServerMessage {
	c.t.Helper()
	for {
		messages, err := c.read()
		if err != nil {
			c.t.Fatalf("no answer of %d: %v", ids, err)
		}
		for _, m := range messages {
			if m.ReplyTo != ids[0] || m.ReplyTo == 0 {
				continue
			}
			if ids = ids[1:]; len(ids) == 0 {
				return m
			}
		}
	}
}

func TestSocketsTalk(t *testing.T) {
	for _, p := range []wire.Subprotocol{wire.Binary, wire.JSON} {
		t.Run(p.String(), func(t *testing.T) {
			s, _, addr := newServer(t, Options{})
			ann, bob := dial(t, addr, "ann", p), dial(t, addr, "bob", p)
			for i := range uint32(100) {
				ann.request(getState(i + 1))
				if m := ann.answer(i + 1); m.Done == nil {
					t.Fatalf("answered %v", m)
				}
			}
			s.Push([]parley.UserID{user("bob")}, 0, message(3))
			s.Flush()
			if m, err := bob.read(); err != nil || m[0].Message.GetSeq() != 3 {
				t.Errorf("pushed %v, %v", m, err)
			}
			bob.write(clientFrame(wire.OpClose, true, wire.AppendClose(nil, wire.CloseNormal, "bye")))
			if code := bob.closed(); code != wire.CloseNormal {
				t.Errorf("closed with %v", code)
			}
		})
	}
}

func TestWelcomeNamesTheLimits(t *testing.T) {
	_, _, addr := newServer(t, Options{FrameMax: 1000, RequestsMax: 12, Heartbeat: 9 * time.Second})
	c, _ := dialRaw(t, addr, handshakeOf("ann", wire.JSON, nil))
	c.protocol = wire.JSON
	m, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	if w := m[0].Welcome; w.User != "ann" || w.Stream != 7 || w.FrameMax != 1000 || w.RequestsMax != 12 || w.HeartbeatMs != 9000 {
		t.Errorf("welcome %v", w)
	}
}

// TestFramesBehindTheHandshake sends frames in the same write as the handshake:
// net/http reads them, and they must not be lost.
func TestFramesBehindTheHandshake(t *testing.T) {
	_, _, addr := newServer(t, Options{})
	long := &wire.Request{Id: 2, Create: &wire.Create{Title: strings.Repeat("t", 20<<10)}}
	frames := append(clientMessage(wire.Binary, getState(1)), clientMessage(wire.Binary, long)...)
	c, response := dialRaw(t, addr, handshakeOf("ann", wire.Binary, nil)+string(frames))
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
	c.protocol = wire.Binary
	c.answer(1, 2)
}

func TestHostileFrames(t *testing.T) {
	unmasked := func(op wire.Opcode, payload string) []byte {
		return append(wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: op, Length: len(payload)}), payload...)
	}
	oversize := clientFrame(wire.OpBinary, true, make([]byte, 64<<10+1))[:14] // the header alone
	fragments := func(parts int) (b []byte) {
		for i := range parts {
			op := wire.OpContinuation
			if i == 0 {
				op = wire.OpBinary
			}
			b = append(b, clientFrame(op, i == parts-1, make([]byte, 30<<10))...)
		}
		return b
	}
	cases := []struct {
		name string
		json bool
		sent []byte
		code wire.CloseCode
	}{
		{"unmasked", false, unmasked(wire.OpBinary, "x"), wire.CloseProtocol},
		{"reserved bit", false, []byte{0xc2, 0x80, 0, 0, 0, 0}, wire.CloseProtocol},
		{"reserved opcode", false, []byte{0x83, 0x80, 0, 0, 0, 0}, wire.CloseProtocol},
		{"long control frame", false, clientFrame(wire.OpPing, true, make([]byte, 126)), wire.CloseProtocol},
		{"fragmented control frame", false, clientFrame(wire.OpPing, false, nil), wire.CloseProtocol},
		{"continuation of nothing", false, clientFrame(wire.OpContinuation, true, nil), wire.CloseProtocol},
		{"message inside another", false, append(clientFrame(wire.OpBinary, false, nil), clientFrame(wire.OpBinary, true, nil)...), wire.CloseProtocol},
		{"length not the shortest", false, []byte{0x82, 0xfe, 0, 5}, wire.CloseProtocol},
		{"negative length", false, []byte{0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0}, wire.CloseProtocol},
		{"oversize, by its header", false, oversize, wire.CloseTooLarge},
		{"oversize in fragments", false, fragments(4), wire.CloseTooLarge},
		{"text on the binary subprotocol", false, clientFrame(wire.OpText, true, []byte("{}")), wire.CloseUnsupported},
		{"binary on the text subprotocol", true, clientFrame(wire.OpBinary, true, []byte("{}")), wire.CloseUnsupported},
		{"text that is not UTF-8", true, clientFrame(wire.OpText, true, []byte("\xff")), wire.CloseNotUTF8},
		{"empty message", false, clientFrame(wire.OpBinary, true, nil), wire.CloseBadMessage},
		{"no Protobuf", false, clientFrame(wire.OpBinary, true, []byte("hello, world")), wire.CloseBadMessage},
		{"no JSON", true, clientFrame(wire.OpText, true, []byte("hello, world")), wire.CloseBadMessage},
		{"two bodies", false, clientMessage(wire.Binary, &wire.Request{Id: 1, Sync: &wire.Sync{}, Create: &wire.Create{}}), wire.CloseBadMessage},
		{"short conversation", false, clientMessage(wire.Binary, &wire.Request{Id: 1, State: &wire.GetState{Conversation: []byte("x")}}), wire.CloseBadMessage},
		{"close frame of one byte", false, clientFrame(wire.OpClose, true, []byte{3}), wire.CloseProtocol},
		{"close code that may not be sent", false, clientFrame(wire.OpClose, true, []byte{3, 0xed}), wire.CloseProtocol},
		{"close frame without a code", false, clientFrame(wire.OpClose, true, nil), wire.CloseNoStatus},
	}
	s, _, addr := newServer(t, Options{})
	witness := dial(t, addr, "witness", wire.Binary)
	for i, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			p := wire.Binary
			if test.json {
				p = wire.JSON
			}
			c := dial(t, addr, "ann", p)
			c.request(getState(1))
			c.answer(1)
			c.write(test.sent)
			c.write(clientFrame(wire.OpPing, true, []byte("on its way"))) // unread bytes make no reset
			if code := c.closed(); code != test.code {
				t.Errorf("closed with %v, want %v", code, test.code)
			}
		})
		witness.request(getState(uint32(i + 1)))
		witness.answer(uint32(i + 1))
	}
	if stats := s.Stats(); stats.Refused.Frames == 0 || stats.Refused.Messages == 0 {
		t.Errorf("stats %+v", stats)
	}
}

func TestFragmentsWithControlFramesBetween(t *testing.T) {
	_, _, addr := newServer(t, Options{})
	c := dial(t, addr, "ann", wire.JSON)
	payload := wire.AppendRequest(nil, wire.JSON, &wire.Request{Id: 5, Create: &wire.Create{Title: "Grüße, 世界"}})
	for i, b := range payload {
		op := wire.OpContinuation
		if i == 0 {
			op = wire.OpText
		}
		c.write(clientFrame(op, i == len(payload)-1, []byte{b}))
		c.write(clientFrame(wire.OpPing, true, []byte{b}))
	}
	c.answer(5)
}

// TestClientThatNeverReads floods with requests and pushes for a client that
// reads nothing. It is closed, what it takes is bounded, others do not feel it.
func TestClientThatNeverReads(t *testing.T) {
	s, b, addr := newServer(t, Options{ReplyBytesMax: 128 << 10, RequestsPerSecond: 1 << 20})
	b.submit = func(session wire.SessionID, _ parley.Identity, requests []*wire.Request) {
		for _, r := range requests {
			s.Reply(session, &wire.ServerMessage{ReplyTo: r.Id, Error: &wire.Error{Message: strings.Repeat("x", 16<<10)}})
		}
		s.Flush()
	}
	other := dial(t, addr, "bob", wire.Binary)
	deaf := dial(t, addr, "ann", wire.Binary)
	most := int64(0)
	for i := uint32(1); ; i++ {
		if _, err := deaf.conn.Write(clientMessage(wire.Binary, getState(i))); err != nil || !s.Online(user("ann"), 0) {
			break
		}
		s.Push([]parley.UserID{user("ann")}, 0, message(uint64(i)))
		s.Flush()
		most = max(most, s.Stats().OutboxBytes)
		if i%10 == 0 {
			other.request(getState(i))
			other.answer(i)
		}
		if i > 1e6 {
			t.Fatal("a million replies are not read, and nothing happens")
		}
	}
	if stats := s.Stats(); most > 1<<20 || stats.Refused.SlowReplies != 1 {
		t.Errorf("at most %d bytes waited, stats %+v", most, stats)
	}
	other.request(getState(7))
	other.answer(7)
	eventually(t, "the end of the deaf session", func() bool { return s.Stats().Sessions == 1 })
}

func TestSlowReaderGetsEverything(t *testing.T) {
	s, _, addr := newServer(t, Options{PushBytesMax: 64 << 20, ReplyBytesMax: 64 << 20})
	c := dial(t, addr, "ann", wire.Binary)
	body := strings.Repeat("y", 10<<10)
	const pushes = 3000 // 30 MB: more than any socket holds
	for i := range uint64(pushes) {
		s.Push([]parley.UserID{user("ann")}, 0, &wire.ServerMessage{Message: &wire.Message{Seq: i + 1, Text: body}})
		s.Flush()
	}
	for next := uint64(1); next <= pushes; {
		messages, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Message == nil {
				continue
			}
			if m.Message.Seq != next || m.Message.Text != body {
				t.Fatalf("sequence %d with %d bytes, want %d", m.Message.Seq, len(m.Message.Text), next)
			}
			next++
		}
	}
	if stats := s.Stats(); stats.PushesDropped != 0 || stats.Writes > pushes/2 {
		t.Errorf("stats %+v", stats)
	}
}

func TestVanishedClientsAreForgotten(t *testing.T) {
	s, _, addr := newServer(t, Options{})
	for i := range 20 {
		c := dial(t, addr, fmt.Sprint("user", i), wire.Binary)
		if i%2 == 0 {
			_ = c.conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		c.conn.Close()
	}
	eventually(t, "all sessions to end", func() bool { return s.Stats().Sessions == 0 })
}

// TestStorm opens and ends sessions on many goroutines while pushes go out, so
// that descriptors and places are used again all the time. Nobody may get
// another's frames, or be closed for another.
func TestStorm(t *testing.T) {
	s, _, addr := newServer(t, Options{})
	stop := make(chan struct{})
	var background sync.WaitGroup
	background.Go(func() {
		for i := uint64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprint("user", i%8)
			s.Push([]parley.UserID{user(name)}, 0, &wire.ServerMessage{Message: &wire.Message{Seq: i, From: name}})
			s.Flush()
		}
	})
	var clients sync.WaitGroup
	for g := range 8 {
		clients.Go(func() {
			name := fmt.Sprint("user", g)
			for round := range uint32(25) {
				c := dial(t, addr, name, wire.Binary)
				for i := range uint32(3) {
					c.request(getState(i + 1))
					for answered := false; !answered; {
						messages, err := c.read()
						if err != nil {
							t.Errorf("%s, round %d: %v", name, round, err)
							return
						}
						for _, m := range messages {
							if m.Message != nil && m.Message.From != name {
								t.Errorf("%s was pushed a message for %s", name, m.Message.From)
							}
							answered = answered || m.ReplyTo == i+1
						}
					}
				}
				if round%2 == 0 {
					_ = c.conn.(*net.TCPConn).SetLinger(0)
				}
				c.conn.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	background.Wait()
	eventually(t, "all sessions to end", func() bool { return s.Stats().Sessions == 0 })
}

func TestPanicClosesOneConnection(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	answer := b.submit
	b.submit = func(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
		if who.User == user("ann") {
			panic("a bug")
		}
		answer(session, who, requests)
	}
	bob, ann := dial(t, addr, "bob", wire.Binary), dial(t, addr, "ann", wire.Binary)
	ann.request(getState(1))
	if _, err := ann.read(); err == nil {
		t.Error("the connection of the panic goes on")
	}
	bob.request(getState(2))
	bob.answer(2)
	eventually(t, "the end of the session", func() bool { return s.Stats().Sessions == 1 })
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
	s.counters.panics.Store(0) // meant
}

// TestDescriptorsAreNotInherited looks at every descriptor of the process: those
// of sockets must be closed in child processes.
func TestDescriptorsAreNotInherited(t *testing.T) {
	_, _, addr := newServer(t, Options{})
	c := dial(t, addr, "ann", wire.Binary)
	c.request(getState(1))
	c.answer(1)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	sockets := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		sockets++
		var fd uintptr
		fmt.Sscan(e.Name(), &fd)
		if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0); errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d (%s) is inherited", fd, target)
		}
	}
	if sockets < 4 {
		t.Errorf("only %d sockets found", sockets)
	}
}
