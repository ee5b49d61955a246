package crashtest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// device is one installation of the SDK.
type device struct {
	*client.Client
	user string
	name string

	mu   sync.Mutex
	gate chan struct{} // it logs in only while this is closed
}

// open lets the device log in.
func (d *device) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.gate)
}

// shut keeps it from logging in again.
func (d *device) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

// wait waits for the gate to be open.
func (d *device) wait(ctx context.Context) error {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// openDevice makes a device with a gate that is open.
func openDevice(t *testing.T, s *server, dir, user, name string) *device {
	t.Helper()
	d := newDevice(t, s, dir, user, name)
	d.open()
	d.await(t, "synced", func(e client.Event) bool {
		c, ok := e.(client.Connection)
		return ok && c.Synced
	})
	return d
}

// newDevice makes a device that does not log in before its gate is opened.
func newDevice(t *testing.T, s *server, dir, user, name string) *device {
	t.Helper()
	key, err := token(dir, user)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{user: user, name: user + "'s " + name, gate: make(chan struct{})}
	d.Client, err = client.Open(client.Options{
		URL: s.url(), Logger: slog.New(slog.DiscardHandler), BackoffMin: 20 * time.Millisecond, BackoffMax: time.Second,
		Token: func(ctx context.Context) (string, error) { return key, d.wait(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// await takes events until there is one.
func (d *device) await(t *testing.T, what string, is func(client.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := d.Next(ctx)
		if err != nil {
			t.Fatalf("%s is not %s: %v", d.name, what, err)
		}
		if is(e) {
			return
		}
	}
}

// texts are the messages that the device holds of a conversation, system
// messages by what they tell; ok says that there is no hole.
func (d *device) texts(id parley.ConversationID) (texts []string, ok bool) {
	messages, holes, err := d.Messages(id, parley.SeqRange{})
	if err != nil {
		return nil, false
	}
	for i := range messages {
		texts = append(texts, show(&messages[i]))
	}
	return texts, len(holes) == 0
}

func show(m *client.Message) string {
	if m.Event != nil {
		return fmt.Sprintf("%d %s: event %d %v %v", m.Seq, m.From, m.Event.Type, m.Event.Users, m.Event.Role)
	}
	return fmt.Sprintf("%d %s: %s", m.Seq, m.From, m.Text())
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// line is a bare connection, for requests one by one.
type line struct {
	t    *testing.T
	conn *client.Conn
	next uint32
	told []*wire.ServerMessage // and not looked for yet
}

func openLine(t *testing.T, s *server, dir, user string, p wire.Subprotocol) *line {
	t.Helper()
	key, err := token(dir, user)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := client.Dial(ctx, s.url(), client.DialOptions{Token: key, Subprotocol: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &line{t: t, conn: conn}
}

// read returns the first message that is looked for, and forgets those before.
func (l *line) read(is func(*wire.ServerMessage) bool) (*wire.ServerMessage, error) {
	giveUp := time.AfterFunc(patience, func() { _ = l.conn.Close() })
	defer giveUp.Stop()
	for {
		for len(l.told) > 0 {
			m := l.told[0]
			l.told = l.told[1:]
			if is(m) {
				return m, nil
			}
		}
		messages, err := l.conn.Read()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			l.told = append(l.told, proto.CloneOf(m))
		}
	}
}

// ask waits for the answer to a request.
func (l *line) ask(q *wire.Request) *wire.ServerMessage {
	l.t.Helper()
	l.next++
	q.Id = l.next
	err := l.conn.Write(q)
	var m *wire.ServerMessage
	if err == nil {
		m, err = l.read(func(m *wire.ServerMessage) bool { return m.ReplyTo == q.Id })
	}
	if err != nil {
		l.t.Fatalf("no answer to %v: %v", q, err)
	}
	return m
}

func (l *line) direct(peer string) parley.ConversationID {
	l.t.Helper()
	m := l.ask(&wire.Request{Create: &wire.Create{Peer: peer}})
	if m.State == nil {
		l.t.Fatalf("create: %v", m)
	}
	return parley.ConversationID(m.State.Conversation)
}

func draft(id parley.ConversationID, stream uint64, number uint32, text string) *wire.Request {
	return &wire.Request{Send: &wire.Send{Conversation: id[:], Stream: stream, Number: number, Kind: wire.Kind_KIND_TEXT, Text: text}}
}

// send sends on the stream of the connection's welcome, and wants a receipt.
func (l *line) send(id parley.ConversationID, number uint32, text string) parley.Seq {
	l.t.Helper()
	m := l.ask(draft(id, l.conn.Welcome().Stream, number, text))
	if m.Sent == nil {
		l.t.Fatalf("send: %v", m)
	}
	return parley.Seq(m.Sent.Seq)
}

// texts are all messages of a conversation.
func (l *line) texts(id parley.ConversationID) (texts []string) {
	l.t.Helper()
	for from := uint64(1); ; {
		p := l.ask(&wire.Request{History: &wire.History{Conversation: id[:], From: from}}).Page
		if p == nil || p.To < p.From {
			return texts
		}
		for _, it := range p.Items {
			if m := it.Message; m != nil {
				texts = append(texts, fmt.Sprintf("%d %s: %s", m.Seq, m.From, m.Text))
			}
		}
		from = p.To + 1
	}
}
