package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/internal/leak"
	"github.com/parleychat/parley/presence"
	"github.com/parleychat/parley/wire"
)

// TestMain fails when a test has left a goroutine of ours, or of the store,
// behind.
func TestMain(m *testing.M) { leak.Main(m) }

// sockets records what sessions are told. Session n is the n-th of online, who
// may be there several times.
type sockets struct {
	mu      sync.Mutex
	online  []parley.UserID
	told    map[wire.SessionID][]*wire.ServerMessage
	hinted  map[wire.SessionID][]*wire.ServerMessage
	devices map[wire.SessionID]parley.DeviceID
	shutOut []parley.DeviceID // by EndDevice
	answers int
	flushes int
	changed chan struct{} // closed and made anew at every Flush
}

func newSockets() *sockets {
	return &sockets{
		told: make(map[wire.SessionID][]*wire.ServerMessage), hinted: make(map[wire.SessionID][]*wire.ServerMessage),
		devices: make(map[wire.SessionID]parley.DeviceID), changed: make(chan struct{}),
	}
}

func (s *sockets) Reply(session wire.SessionID, m *wire.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	if m != nil {
		s.told[session] = append(s.told[session], proto.CloneOf(m))
	}
}

func (s *sockets) Push(to []parley.UserID, but wire.SessionID, m *wire.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, u := range s.online {
		if id := wire.SessionID(i + 1); slices.Contains(to, u) && id != but {
			s.told[id] = append(s.told[id], proto.CloneOf(m))
		}
	}
}

func (s *sockets) Hint(to []wire.SessionID, m *wire.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range to {
		s.hinted[id] = append(s.hinted[id], proto.CloneOf(m))
	}
}

func (s *sockets) Sessions(u parley.UserID, into []wire.SessionID) []wire.SessionID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.online {
		if o == u {
			into = append(into, wire.SessionID(i+1))
		}
	}
	return into
}

func (s *sockets) Device(session wire.SessionID) (parley.DeviceID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[session], true
}

func (s *sockets) EndDevice(_ parley.UserID, d parley.DeviceID, _ wire.CloseCode, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutOut = append(s.shutOut, d)
}

func (s *sockets) Online(u parley.UserID, but wire.SessionID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.online {
		if o == u && wire.SessionID(i+1) != but {
			return true
		}
	}
	return false
}

func (s *sockets) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes++
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns what a session was told once it is enough.
func (s *sockets) await(t testing.TB, session wire.SessionID, enough func([]*wire.ServerMessage) bool) []*wire.ServerMessage {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		told, changed := slices.Clone(s.told[session]), s.changed
		s.mu.Unlock()
		if enough(told) {
			return told
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("session %d was told only %v", session, told)
		}
	}
}

// house is a router between recorded sockets and a real service.
type house struct {
	t        testing.TB
	sockets  *sockets
	router   *Router
	registry presence.Registry
	service  *chat.Service
	users    []parley.Identity
	streams  []parley.StreamID
	next     uint32
}

// verifyName takes a token for the name of a user.
func verifyName(token string) (parley.TenantID, string, time.Time, error) {
	if token == "" {
		return 0, "", time.Time{}, parley.BadToken
	}
	return parley.DefaultTenant, token, time.Time{}, nil
}

func open(t testing.TB, opts Options, chatOpts chat.Options, names ...string) *house {
	t.Helper()
	h := &house{t: t, sockets: newSockets()}
	opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	h.router = New(h.sockets, verifyName, opts)
	if chatOpts.Engine.Partitions == 0 {
		chatOpts.Engine = engine.Options{Partitions: 4, HeadSize: 1 << 20}
	}
	chatOpts.Engine.Logger = opts.Logger
	chatOpts.Deliverer = h.router
	var err error
	if h.service, err = chat.Open(vfs.NewMem(), "data", chatOpts); err != nil {
		t.Fatal(err)
	}
	h.registry = presence.NewMemory(presence.Options{Changed: h.router.Changed, Logger: opts.Logger})
	h.router.Start(h.service, h.registry)
	t.Cleanup(h.close)
	for _, name := range names {
		h.connect(name, parley.DeviceID{})
	}
	return h
}

// connect opens a session of a user's device, and is its number from 0.
func (h *house) connect(name string, d parley.DeviceID) int {
	h.t.Helper()
	device := &wire.Device{}
	if !d.IsZero() {
		device = &wire.Device{Device: d[:], Name: name + "'s", Platform: "test"}
	}
	who, welcome, _, err := h.router.Authenticate(context.Background(), name, device)
	if err != nil {
		h.t.Fatal(err)
	}
	h.users = append(h.users, who)
	h.streams = append(h.streams, parley.StreamID(welcome.Stream))
	h.sockets.mu.Lock()
	defer h.sockets.mu.Unlock()
	h.sockets.online = append(h.sockets.online, who.User)
	h.sockets.devices[wire.SessionID(len(h.users))] = d
	return len(h.users) - 1
}

// end ends a session.
func (h *house) end(user int) {
	session := wire.SessionID(user + 1)
	h.sockets.mu.Lock()
	h.sockets.online[user] = parley.UserID{}
	d := h.sockets.devices[session]
	h.sockets.mu.Unlock()
	h.router.Ended(session, h.users[user], d)
}

// heard is the next hint of a user's session that is asked for; those before it
// are forgotten.
func (h *house) heard(user int, what string, is func(*wire.ServerMessage) bool) *wire.ServerMessage {
	h.t.Helper()
	session := wire.SessionID(user + 1)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h.sockets.mu.Lock()
		for i, m := range h.sockets.hinted[session] {
			if is(m) {
				h.sockets.hinted[session] = h.sockets.hinted[session][i+1:]
				h.sockets.mu.Unlock()
				return m
			}
		}
		all := h.sockets.hinted[session]
		h.sockets.mu.Unlock()
		if time.Now().After(deadline) {
			h.t.Fatalf("%s never came; session %d heard %v", what, session, all)
		}
	}
}

// silent fails if a session has heard something that it should not.
func (h *house) silent(user int, what string) {
	h.t.Helper()
	time.Sleep(30 * time.Millisecond)
	h.sockets.mu.Lock()
	defer h.sockets.mu.Unlock()
	if all := h.sockets.hinted[wire.SessionID(user+1)]; len(all) > 0 {
		h.t.Fatalf("%s: session %d heard %v", what, user+1, all)
	}
}

func (h *house) close() {
	if err := h.router.Close(); err != nil {
		h.t.Error(err)
	}
	if err := h.registry.Close(); err != nil {
		h.t.Error(err)
	}
	if err := h.service.Close(); err != nil && !errors.Is(err, engine.ErrFailed) {
		h.t.Error(err)
	}
}

// ask submits a request of a user and waits for its answer.
func (h *house) ask(user int, q *wire.Request) *wire.ServerMessage {
	h.t.Helper()
	h.next++
	q.Id = h.next
	session := wire.SessionID(user + 1)
	h.router.Submit(session, h.users[user], []*wire.Request{q})
	var answer *wire.ServerMessage
	h.sockets.await(h.t, session, func(told []*wire.ServerMessage) bool {
		for _, m := range told {
			if m.ReplyTo == q.Id {
				answer = m
			}
		}
		return answer != nil
	})
	return answer
}

// direct makes the conversation of two users.
func (h *house) direct(user int, peer string) []byte {
	h.t.Helper()
	m := h.ask(user, &wire.Request{Create: &wire.Create{Peer: peer}})
	if m.State == nil {
		h.t.Fatalf("create: %v", m)
	}
	return m.State.Conversation
}

func (h *house) text(user int, conversation []byte, number uint32, text string) *wire.Request {
	return &wire.Request{Send: &wire.Send{
		Conversation: conversation, Stream: uint64(h.streams[user]), Number: number, Kind: wire.Kind_KIND_TEXT, Text: text,
	}}
}
