package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/leak"
	"github.com/parleychat/parley/wire"
)

// TestMain fails when a test has left a goroutine of ours, or of nbio, behind.
func TestMain(m *testing.M) { leak.Main(m) }

// user is the id of a user of tests.
func user(name string) parley.UserID {
	var id parley.UserID
	copy(id[:], name)
	id[15] = byte(len(name))
	return id
}

// backend answers every request at once, and takes the token for the name of a
// user. Tests put other functions in place.
type backend struct {
	server       *Server
	authenticate func(ctx context.Context, token string) (parley.Identity, time.Time, error)
	submit       func(session wire.SessionID, who parley.Identity, requests []*wire.Request)

	mu        sync.Mutex
	submitted map[wire.SessionID]int
	ended     map[wire.SessionID]int
	never     int // ends of sessions that there never were
	devices   []*wire.Device
}

func newBackend(s *Server) *backend {
	b := &backend{server: s, submitted: make(map[wire.SessionID]int), ended: make(map[wire.SessionID]int)}
	b.authenticate = func(_ context.Context, token string) (parley.Identity, time.Time, error) {
		if token == "wrong" {
			return parley.Identity{}, time.Time{}, fmt.Errorf("backend: %w", parley.BadToken)
		}
		return parley.Identity{User: user(token)}, time.Time{}, nil
	}
	b.submit = func(session wire.SessionID, _ parley.Identity, requests []*wire.Request) {
		for _, r := range requests {
			s.Reply(session, &wire.ServerMessage{ReplyTo: r.Id, Done: &wire.Done{}})
		}
		s.Flush()
	}
	return b
}

func (b *backend) Authenticate(ctx context.Context, token string, d *wire.Device) (parley.Identity, *wire.Welcome, time.Time, error) {
	who, expires, err := b.authenticate(ctx, token)
	if err == nil {
		b.mu.Lock()
		b.devices = append(b.devices, d)
		b.mu.Unlock()
	}
	return who, &wire.Welcome{User: token, Stream: 7}, expires, err
}

func (b *backend) Submit(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
	b.mu.Lock()
	b.submitted[session] += len(requests)
	if b.ended[session] > 0 {
		panic("Submit after Ended")
	}
	b.mu.Unlock()
	b.submit(session, who, requests)
}

func (b *backend) Ended(session wire.SessionID, _ parley.Identity, _ parley.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if session == 0 {
		b.never++
		return
	}
	b.ended[session]++
}

// quiet options log nothing.
func quiet(o Options) Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// checkBooks compares what the gateway counted with what it must have.
func checkBooks(t testing.TB, s *Server, b *backend) {
	t.Helper()
	stats := s.Stats()
	if stats.Panics != 0 {
		t.Errorf("%d panics", stats.Panics)
	}
	if stats.Sessions != 0 || stats.OutboxBytes != 0 || stats.Opened != stats.Ended {
		t.Errorf("after the end: %d sessions, %d bytes in outboxes, %d opened and %d ended",
			stats.Sessions, stats.OutboxBytes, stats.Opened, stats.Ended)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if uint64(len(b.ended)) != stats.Opened {
		t.Errorf("backend heard of %d ends of %d sessions", len(b.ended), stats.Opened)
	}
	for id, n := range b.ended {
		if n != 1 {
			t.Errorf("backend heard %d times that session %x ended", n, id)
		}
	}
}
