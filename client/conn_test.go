package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

var subprotocols = []wire.Subprotocol{wire.Binary, wire.JSON}

// both runs a test in both subprotocols.
func both(t *testing.T, f func(t *testing.T, p wire.Subprotocol)) {
	for _, p := range subprotocols {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

var testWelcome = &wire.Welcome{
	User: "ann", Stream: 77, Incarnation: 5, HeartbeatMs: 30_000, BodyMax: 16 << 10, FrameMax: 64 << 10, RequestsMax: 1024,
}

// dialed is a connection and its other side, after the welcome.
func dialed(t *testing.T, p wire.Subprotocol) (*Conn, *remote) {
	t.Helper()
	s := newServer(t)
	met := make(chan *remote, 1)
	go func() {
		e := <-s.sessions
		e.push(&wire.ServerMessage{Welcome: testWelcome}, &wire.ServerMessage{Check: &wire.Check{Pushes: 3}})
		met <- e
	}()
	c, err := Dial(t.Context(), s.url(), DialOptions{Token: "secret", Subprotocol: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, <-met
}

func TestConnCarriesRequestsAndMessages(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		c, e := dialed(t, p)
		if w := c.Welcome(); w.User != "ann" || w.Stream != 77 || w.Incarnation != 5 || w.RequestsMax != 1024 {
			t.Fatalf("welcome = %v", w)
		}
		if e.token != "Bearer secret" {
			t.Fatalf("authorization = %q", e.token)
		}
		m, err := c.Read()
		if err != nil || len(m) != 1 || m[0].GetCheck().GetPushes() != 3 {
			t.Fatalf("behind the welcome came %v, %v", m, err)
		}
		long := strings.Repeat("long ", 3000)
		if err := c.Write(&wire.Request{Id: 1, Sync: &wire.Sync{}},
			&wire.Request{Id: 2, Send: &wire.Send{Conversation: make([]byte, 16), Stream: 1, Number: 1, Kind: wire.Kind_KIND_TEXT, Text: long}}); err != nil {
			t.Fatal(err)
		}
		if q := e.request(); q.Id != 1 || q.Sync == nil {
			t.Fatalf("first request = %v", q)
		}
		if q := e.request(); q.Id != 2 || q.GetSend().GetText() != long {
			t.Fatalf("second request = %v", q)
		}
		// Larger than the buffer, and then small again in the same memory.
		for i, n := range []int{200_000, 1, 70_000} {
			e.push(&wire.ServerMessage{Message: &wire.Message{Seq: uint64(i + 1), Text: strings.Repeat("x", n), Kind: wire.Kind_KIND_TEXT}})
			m, err := c.Read()
			if err != nil || len(m) != 1 || m[0].GetMessage().GetSeq() != uint64(i+1) || len(m[0].GetMessage().GetText()) != n {
				t.Fatalf("message %d: %d messages, %v", i, len(m), err)
			}
		}
	})
}

func TestConnAnswersPings(t *testing.T) {
	c, e := dialed(t, wire.Binary)
	e.frame(wire.OpPing, []byte("alive?"))
	e.push(&wire.ServerMessage{Check: &wire.Check{Pushes: 9}})
	_, _ = c.Read() // behind the welcome
	if m, err := c.Read(); err != nil || m[0].GetCheck().GetPushes() != 9 {
		t.Fatalf("read %v, %v", m, err)
	}
	if q := e.request(); q.Id != 0 {
		t.Fatalf("instead of a pong came %v", q)
	}
}

func TestConnTellsTheCloseCode(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		c, e := dialed(t, p)
		_, _ = c.Read()
		e.frame(wire.OpClose, wire.AppendClose(nil, wire.CloseGoingAway, "restart"))
		for range 2 { // the error stays
			_, err := c.Read()
			closed, ok := errors.AsType[*CloseError](err)
			if !ok || closed.Code != wire.CloseGoingAway || closed.Reason != "restart" {
				t.Fatalf("read: %v", err)
			}
		}
		e.wait()
		if e.closed != wire.CloseGoingAway {
			t.Fatalf("the client answered the close with %v", e.closed)
		}
		if err := c.Write(&wire.Request{Sync: &wire.Sync{}}); !errors.Is(err, ErrClosed) {
			t.Fatalf("write after the end: %v", err)
		}
	})
}

func TestConnRefusesBrokenServers(t *testing.T) {
	for name, hurt := range map[string]struct {
		send func(e *remote)
		code wire.CloseCode
	}{
		"masked":      {func(e *remote) { _, _ = e.socket.Write([]byte{0x82, 0x81, 1, 2, 3, 4, 5}) }, wire.CloseProtocol},
		"text":        {func(e *remote) { e.frame(wire.OpText, []byte("{}")) }, wire.CloseUnsupported},
		"no messages": {func(e *remote) { e.frame(wire.OpBinary, []byte{200, 1}) }, wire.CloseBadMessage},
		"too long":    {func(e *remote) { _, _ = e.socket.Write([]byte{0x82, 127, 0, 0, 0, 9, 0, 0, 0, 0}) }, wire.CloseTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := dialed(t, wire.Binary)
			_, _ = c.Read()
			hurt.send(e)
			if m, err := c.Read(); err == nil {
				t.Fatalf("read %v", m)
			}
			e.wait()
			if e.closed != hurt.code {
				t.Fatalf("closed with %v, want %v", e.closed, hurt.code)
			}
		})
	}
}

func TestConnKeepsToTheLimitsOfTheWelcome(t *testing.T) {
	c, e := dialed(t, wire.Binary)
	big := &wire.Request{Id: 1, Send: &wire.Send{Conversation: make([]byte, 16), Kind: wire.Kind_KIND_IMAGE, Data: make([]byte, 65<<10)}}
	if err := c.Write(big); !errors.Is(err, parley.TooLarge) {
		t.Fatalf("write of 65 KiB: %v", err)
	}
	if err := c.Write(&wire.Request{Id: 2, Sync: &wire.Sync{}}); err != nil {
		t.Fatal(err)
	}
	if q := e.request(); q.Id != 2 {
		t.Fatalf("came %v", q)
	}
}

func TestConnWritesFromManyGoroutines(t *testing.T) {
	c, e := dialed(t, wire.Binary)
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := c.Write(&wire.Request{Id: uint32(w*each + i + 1), Sync: &wire.Sync{}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := make(map[uint32]bool)
	for range writers * each {
		seen[e.request().Id] = true
	}
	wg.Wait()
	if len(seen) != writers*each {
		t.Fatalf("%d of %d requests came", len(seen), writers*each)
	}
}

func TestConnCloseEndsRead(t *testing.T) {
	c, e := dialed(t, wire.Binary)
	_, _ = c.Read()
	done := make(chan error, 1)
	go func() { _, err := c.Read(); done <- err }()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("read: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
	e.wait()
	if e.closed != wire.CloseNormal {
		t.Fatalf("closed with %v", e.closed)
	}
}

func TestDialRefusals(t *testing.T) {
	t.Run("status", func(t *testing.T) {
		s := newServer(t)
		s.refuseWith(401)
		_, err := Dial(t.Context(), s.url(), DialOptions{Token: "x"})
		refused, ok := errors.AsType[*HandshakeError](err)
		if !ok || refused.Status != 401 || refused.Body != "refused" || refused.RetryAfter != time.Second {
			t.Fatalf("dial: %v", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		s := newServer(t)
		go func() { (<-s.sessions).frame(wire.OpClose, wire.AppendClose(nil, wire.CloseBadToken, "")) }()
		_, err := Dial(t.Context(), s.url(), DialOptions{Token: "x"})
		if closed, ok := errors.AsType[*CloseError](err); !ok || closed.Code != wire.CloseBadToken {
			t.Fatalf("dial: %v", err)
		}
	})
	t.Run("no welcome", func(t *testing.T) {
		s := newServer(t)
		go func() { (<-s.sessions).push(&wire.ServerMessage{Check: &wire.Check{}}) }()
		if _, err := Dial(t.Context(), s.url(), DialOptions{Token: "x"}); !errors.Is(err, errNoWelcome) {
			t.Fatalf("dial: %v", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		s := newServer(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := Dial(ctx, s.url(), DialOptions{Token: "x"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dial: %v", err)
		}
	})
	t.Run("token", func(t *testing.T) {
		s := newServer(t)
		if _, err := Dial(t.Context(), s.url(), DialOptions{Token: "x\r\nHost: evil"}); err == nil {
			t.Fatal("a token with a line break was sent")
		}
	})
	t.Run("url", func(t *testing.T) {
		if _, err := Dial(t.Context(), "http://127.0.0.1/ws", DialOptions{}); err == nil {
			t.Fatal("http was dialled")
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n")
				_ = c.(*net.TCPConn).CloseWrite()
			}
		}()
		if _, err := Dial(t.Context(), "ws://"+l.Addr().String(), DialOptions{}); err == nil || !strings.Contains(err.Error(), "Sec-WebSocket-Accept") {
			t.Fatalf("dial: %v", err)
		}
	})
}

func TestDialUsesTheLocalAddress(t *testing.T) {
	s := newServer(t)
	go func() { (<-s.sessions).push(&wire.ServerMessage{Welcome: testWelcome}) }()
	c, err := Dial(t.Context(), s.url(), DialOptions{Token: "x", LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got := c.socket.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.9" {
		t.Fatalf("from %s", got)
	}
}

func TestConnReadsAndWritesWithoutAllocating(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	c, e := dialed(t, wire.Binary)
	_, _ = c.Read()
	conversation, text := make([]byte, 16), strings.Repeat("x", 200)
	send := &wire.Request{Id: 1, Send: &wire.Send{Conversation: conversation, Stream: 1, Number: 1, Kind: wire.Kind_KIND_TEXT, Text: text}}
	var payload []byte
	for range 64 {
		payload = wire.AppendServerMessage(payload, wire.Binary, &wire.ServerMessage{Message: &wire.Message{Conversation: conversation, Seq: 1, Kind: wire.Kind_KIND_TEXT, Text: text}})
	}
	frame := append(wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: wire.OpBinary, Length: len(payload)}), payload...)
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := e.socket.Write(frame); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Read(); err != nil || len(m) != 64 {
			t.Fatal(len(m), err)
		}
	})
	if allocs > 4 {
		t.Errorf("%.1f allocations for 64 messages read", allocs)
	}
	// The other side decodes and copies, so only what Write itself needs is
	// counted: encode, mask and write into a socket that nobody reads.
	left, right := net.Pipe()
	defer func() { _, _ = left.Close(), right.Close() }()
	go func() {
		b := make([]byte, 4096)
		for {
			if _, err := right.Read(b); err != nil {
				return
			}
		}
	}()
	c.mu.Lock()
	whole := c.socket
	c.socket = left
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.socket = whole; c.mu.Unlock() }()
	allocs = testing.AllocsPerRun(200, func() {
		if err := c.Write(send); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 5 { // of net.Pipe's deadlines
		t.Errorf("%.1f allocations for a write", allocs)
	}
}
