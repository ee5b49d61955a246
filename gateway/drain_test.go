package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// TestDrainLosesNoAnswer drains while requests are with the backend: their
// answers reach the client before the close frame, later requests are refused.
func TestDrainLosesNoAnswer(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	type asked struct {
		session wire.SessionID
		id      uint32
	}
	var mu sync.Mutex
	var open []asked
	b.submit = func(session wire.SessionID, _ parley.Identity, requests []*wire.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range requests {
			open = append(open, asked{session, r.Id})
		}
	}
	clients := []*client{dial(t, addr, "ann", wire.Binary), dial(t, addr, "ann", wire.JSON), dial(t, addr, "bob", wire.Binary)}
	idle := dial(t, addr, "carl", wire.Binary)
	for i, c := range clients {
		stream := parley.StreamID(i + 1)
		c.request(send(1, stream), send(2, stream))
	}
	eventually(t, "the requests", func() bool { mu.Lock(); defer mu.Unlock(); return len(open) == 6 })

	drained := make(chan error)
	go func() { drained <- s.Drain(t.Context()) }()
	for _, c := range append(clients, idle) {
		m, err := c.read()
		if err != nil || m[0].GoingAway.GetRetryAfterMs() < 500 {
			t.Fatalf("instead of going away: %v, %v", m, err)
		}
	}
	if code := idle.closed(); code != wire.CloseGoingAway {
		t.Errorf("the idle session was closed with %v", code)
	}
	idle.conn.Close()
	if _, response := dialRaw(t, addr, handshakeOf("dora", wire.Binary, nil)); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a handshake while draining: %s", response.Status)
	}
	for i, c := range clients {
		c.request(send(3, parley.StreamID(i+1)))
		if m := c.answer(3); m.Error.GetCode() != uint32(parley.Stopping) {
			t.Errorf("a request while draining: %v", m)
		}
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with requests unanswered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	for _, a := range open {
		s.Reply(a.session, &wire.ServerMessage{ReplyTo: a.id, Done: &wire.Done{}})
	}
	s.Flush()
	for _, c := range clients {
		m, err := c.read()
		if err != nil || len(m) != 2 || m[0].ReplyTo != 1 || m[1].ReplyTo != 2 {
			t.Errorf("answers %v, %v", m, err)
		}
		if code := c.closed(); code != wire.CloseGoingAway {
			t.Errorf("closed with %v", code)
		}
		c.conn.Close()
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestDrainEndsWithItsContext(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	b.submit = func(wire.SessionID, parley.Identity, []*wire.Request) {} // never answered
	c := dial(t, addr, "ann", wire.Binary)
	c.request(send(1, 1))
	eventually(t, "the request", func() bool { return s.Stats().Requests == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained: %v", err)
	}
	if code := c.closed(); code != wire.CloseGoingAway {
		t.Errorf("closed with %v", code)
	}
}

func TestCloseSaysSo(t *testing.T) {
	s, _, addr := newServer(t, Options{})
	c := dial(t, addr, "ann", wire.Binary)
	eventually(t, "the poller to have it", func() bool {
		for session := range s.registry.all() {
			return session.idle()
		}
		return false
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code := c.closed(); code != wire.CloseGoingAway {
		t.Errorf("closed with %v", code)
	}
	s.Push([]parley.UserID{user("ann")}, 0, message(1)) // nobody is there, nothing happens
	s.Reply(1, message(1))
	s.Flush()
}
