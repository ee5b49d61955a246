package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// room is the id of a conversation of tests.
func room(n int) parley.ConversationID { return parley.ConversationID{15: byte(n)} }

// device is a client under test, with the events that came.
type device struct {
	*Client
	t testing.TB

	mu     sync.Mutex // guards below
	events []Event
	done   chan struct{}
}

// testOptions are quick ones for a server.
func testOptions(s *server, p wire.Subprotocol, store Store) Options {
	return Options{
		URL: s.url(), Subprotocol: p, Store: store,
		Token:      func(context.Context) (string, error) { return "token", nil },
		Logger:     slog.New(slog.DiscardHandler),
		BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond, CloseWait: 50 * time.Millisecond, lateWait: 10 * time.Millisecond,
	}
}

// start opens a client, which the test's end closes.
func start(t testing.TB, o Options) *device {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{Client: c, t: t, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		for e := range c.Events(context.Background()) {
			d.mu.Lock()
			d.events = append(d.events, e)
			d.mu.Unlock()
		}
	}()
	t.Cleanup(d.stop)
	return d
}

func (d *device) stop() {
	if err := d.Close(); err != nil && d.stopErr == nil {
		d.t.Error(err)
	}
	<-d.done
}

// until waits for a condition.
func (d *device) until(what string, ok func() bool) {
	d.t.Helper()
	until(d.t, what, ok)
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

// received is the text of what events brought of a conversation; a hole stands
// in brackets.
func (d *device) received(id parley.ConversationID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var parts []string
	for _, e := range d.events {
		r, ok := e.(Received)
		if !ok || r.Conversation != id {
			continue
		}
		if !r.Hole.Empty() {
			parts = append(parts, fmt.Sprintf("[%d-%d]", r.Hole.From, r.Hole.To))
		}
		for _, m := range r.Messages {
			parts = append(parts, fmt.Sprintf("%d:%s", m.Seq, m.Text()))
		}
	}
	return strings.Join(parts, " ")
}

func (d *device) untilReceived(id parley.ConversationID, want string) {
	d.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d.received(id) == want {
			return
		}
	}
	d.t.Fatalf("received %q, want %q", d.received(id), want)
}

// event waits for an event that fits.
func event[E Event](d *device, fits func(E) bool) E {
	d.t.Helper()
	var found E
	d.until(fmt.Sprintf("a %T", found), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, e := range d.events {
			if x, ok := e.(E); ok && fits(x) {
				found = x
				return true
			}
		}
		return false
	})
	return found
}

func (d *device) untilStatus(id uint64, want Status) Draft {
	d.t.Helper()
	var out Draft
	d.until(fmt.Sprintf("draft %d is %v", id, want), func() bool {
		var err error
		out, err = d.Draft(id)
		return err == nil && out.Status == want
	})
	return out
}

func (d *device) untilSynced() {
	d.t.Helper()
	d.until("it is in step", func() bool {
		d.Client.mu.Lock()
		defer d.Client.mu.Unlock()
		return d.connection.Synced
	})
}

func (d *device) send(id parley.ConversationID, text string) Draft {
	d.t.Helper()
	draft, err := d.SendText(id, text)
	if err != nil {
		d.t.Fatal(err)
	}
	return draft
}

func (d *device) conversation(id parley.ConversationID) Conversation {
	d.t.Helper()
	v, err := d.Conversation(id)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

// greet accepts the client and welcomes it.
func (s *server) greet(stream, incarnation uint64) *remote {
	s.t.Helper()
	e := s.accept()
	e.push(&wire.ServerMessage{Welcome: &wire.Welcome{
		User: "ann", Stream: stream, Incarnation: incarnation, HeartbeatMs: 30_000, BodyMax: 1000, FrameMax: 64 << 10, RequestsMax: 1024,
	}})
	e.incarnation = incarnation
	return e
}

// greetSynced also answers the sync with all there is.
func (s *server) greetSynced(stream, incarnation uint64, states ...*wire.State) *remote {
	s.t.Helper()
	e := s.greet(stream, incarnation)
	e.answerSync(states...)
	return e
}

func (e *remote) answerSync(states ...*wire.State) *wire.Sync {
	e.t.Helper()
	q := e.expect("sync", func(q *wire.Request) bool { return q.Sync != nil })
	e.answer(q, &wire.ServerMessage{SyncPage: &wire.SyncPage{
		States: states, Cursor: fmt.Appendf(nil, "cursor %d", len(states)), Authoritative: true, Incarnation: e.incarnation,
	}})
	return q.Sync
}

// answer replies to a request.
func (e *remote) answer(q *wire.Request, m *wire.ServerMessage) {
	e.t.Helper()
	m.ReplyTo = q.Id
	e.push(m)
}

func (e *remote) refuse(q *wire.Request, code parley.Code, expected uint32) {
	e.t.Helper()
	e.answer(q, &wire.ServerMessage{Error: &wire.Error{Code: uint32(code), Name: code.String(), Message: "by the script", Expected: expected}})
}

func (e *remote) sent(q *wire.Request, seq uint64) {
	e.t.Helper()
	e.answer(q, &wire.ServerMessage{Sent: &wire.Sent{Seq: seq, Version: seq, At: int64(seq) * 1_000_000}})
}

// expect returns the next request that fits. Acknowledgements before it are
// answered and kept in marks; anything else is an error of the client.
func (e *remote) expect(what string, fits func(*wire.Request) bool) *wire.Request {
	e.t.Helper()
	for {
		q := e.request()
		switch {
		case fits(q):
			return q
		case q.Acknowledge != nil:
			e.marks = append(e.marks, q.Acknowledge.Marks...)
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
		case e.also != nil && e.also(q):
		default:
			e.t.Fatalf("waiting for a %s came %v", what, q)
		}
	}
}

func (e *remote) expectSend(stream uint64, number uint32, text string) *wire.Request {
	e.t.Helper()
	q := e.expect("send", func(q *wire.Request) bool { return q.Send != nil })
	if q.Send.Stream != stream || q.Send.Number != number || q.Send.Text != text {
		e.t.Fatalf("sent %q as %d of stream %d, want %q as %d of stream %d", q.Send.Text, q.Send.Number, q.Send.Stream, text, number, stream)
	}
	return q
}

func (e *remote) expectFind(stream uint64, number uint32) *wire.Request {
	e.t.Helper()
	q := e.expect("search", func(q *wire.Request) bool { return q.FindSent != nil })
	if q.FindSent.Stream != stream || q.FindSent.Number != number {
		e.t.Fatalf("looked for %d of stream %d, want %d of %d", q.FindSent.Number, q.FindSent.Stream, number, stream)
	}
	return q
}

func (e *remote) expectHistory(from, to uint64, backward bool) *wire.Request {
	e.t.Helper()
	q := e.expect("history", func(q *wire.Request) bool { return q.History != nil })
	if h := q.History; h.From != from || h.To != to || h.Backward != backward {
		e.t.Fatalf("asked for %d-%d backward=%v, want %d-%d backward=%v", h.From, h.To, h.Backward, from, to, backward)
	}
	return q
}

// expectMark waits for a mark that reaches delivered and read.
func (e *remote) expectMark(delivered, read uint64) {
	e.t.Helper()
	for {
		for _, m := range e.marks {
			if m.Delivered > delivered {
				e.t.Fatalf("delivered %d was acknowledged, want %d", m.Delivered, delivered)
			}
			if m.Delivered == delivered && m.Read == read {
				return
			}
		}
		q := e.request()
		if q.Acknowledge == nil {
			e.t.Fatalf("waiting for a mark came %v", q)
		}
		e.marks = append(e.marks, q.Acknowledge.Marks...)
		e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
	}
}

// quiet checks that nothing but acknowledgements comes until the server's next
// word was heard: the client handles what it reads in order, and answers a
// GetState of the test's making... so a ping is enough.
func (e *remote) quiet() {
	e.t.Helper()
	e.frame(wire.OpPing, nil)
	e.expect("pong", func(q *wire.Request) bool { return q.Id == 0 })
}

// state is a direct conversation with bob, of which all counts.
func state(n int, last, version, delivered, read, own uint64) *wire.State {
	id := room(n)
	return &wire.State{
		Conversation: id[:], Kind: wire.ConversationKind_CONVERSATION_DIRECT, Last: last, Version: version, Changed: int64(version) * 1_000_000,
		Role: wire.Role_ROLE_MEMBER, Delivered: delivered, Read: read, Ordinal: last, ReadOrdinal: read, Own: own,
		Peer: &wire.Member{User: "bob", Role: wire.Role_ROLE_MEMBER},
	}
}

// message is a message of bob's.
func message(n int, seq uint64) *wire.Message {
	id := room(n)
	return &wire.Message{
		Conversation: id[:], Seq: seq, Ordinal: seq, Version: seq, From: "bob", Stream: 9, Number: uint32(seq),
		Kind: wire.Kind_KIND_TEXT, At: int64(seq) * 1_000_000, Text: fmt.Sprintf("m%d", seq),
	}
}

func push(m *wire.Message) *wire.ServerMessage { return &wire.ServerMessage{Message: m} }

// page is messages from..to of bob's, but for those given.
func page(n int, from, to, last uint64, but ...*wire.Message) *wire.ServerMessage {
	id := room(n)
	p := &wire.Page{Conversation: id[:], Last: last, From: from, To: to}
	for seq := from; seq <= to; seq++ {
		m := message(n, seq)
		for _, b := range but {
			if b.Seq == seq {
				m = b
			}
		}
		p.Items = append(p.Items, &wire.Item{Message: m})
	}
	return &wire.ServerMessage{Page: p}
}

// mine makes a message one of this device's.
func mine(m *wire.Message, stream uint64, number uint32, text string) *wire.Message {
	m.From, m.Stream, m.Number, m.Text = "ann", stream, number, text
	return m
}

// errOf is the reason of a failed draft.
func wantErr(t testing.TB, d Draft, want error) {
	t.Helper()
	if err := d.Err(); !errors.Is(err, want) {
		t.Fatalf("draft %d failed with %v, want %v", d.ID, err, want)
	}
}
