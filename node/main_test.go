package node

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/internal/leak"
	"github.com/parleychat/parley/wire"
)

// TestMain fails when a test has left a goroutine of ours, of nbio or of the
// store behind.
func TestMain(m *testing.M) {
	if os.Getenv(crowdURL) != "" {
		os.Exit(crowd())
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	os.Exit(leak.Check(code))
}

// late is when a test gives up.
const late = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start opens a node for trying out on a folder. It is closed with the test, if
// not before.
func start(t *testing.T, dir string, change func(*Config)) *Node {
	t.Helper()
	c := Config{Data: dir, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Dev: true, Logger: quiet()}
	c.Chat.Engine.Partitions, c.Chat.Engine.HeadSize = 8, 1<<20
	if change != nil {
		change(&c)
	}
	n, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	return r.StatusCode, string(b)
}

// askToken is the answer of the development endpoint.
func askToken(t *testing.T, n *Node, kind, body string) (int, string) {
	t.Helper()
	r, err := http.Post(n.URL()+"/v1/dev/token", kind, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var answer struct{ Token string }
	b, _ := io.ReadAll(r.Body)
	_ = json.NewDecoder(bytes.NewReader(b)).Decode(&answer)
	return r.StatusCode, answer.Token
}

// device is a user's connection, with everything it was told.
type device struct {
	t    *testing.T
	conn *client.Conn
	next uint32
	told []*wire.ServerMessage
}

func connect(t *testing.T, n *Node, user string, p wire.Subprotocol) *device {
	t.Helper()
	_, token := askToken(t, n, "application/json", `{"user":"`+user+`"}`)
	ctx, cancel := context.WithTimeout(t.Context(), late)
	defer cancel()
	conn, err := client.Dial(ctx, "ws"+strings.TrimPrefix(n.URL(), "http")+"/ws", client.DialOptions{Token: token, Subprotocol: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &device{t: t, conn: conn}
}

// await reads until a message is the one that is waited for.
func (d *device) await(what string, is func(*wire.ServerMessage) bool) *wire.ServerMessage {
	d.t.Helper()
	giveUp := time.AfterFunc(late, func() { _ = d.conn.Close() })
	defer giveUp.Stop()
	for {
		for i, m := range d.told {
			if is(m) {
				d.told = append(d.told[:i:i], d.told[i+1:]...)
				return m
			}
		}
		read, err := d.conn.Read()
		if err != nil {
			d.t.Fatalf("waiting for %s: %v", what, err)
		}
		for _, m := range read {
			d.told = append(d.told, proto.CloneOf(m))
		}
	}
}

func (d *device) ask(q *wire.Request) *wire.ServerMessage {
	d.t.Helper()
	d.next++
	q.Id = d.next
	if err := d.conn.Write(q); err != nil {
		d.t.Fatal(err)
	}
	return d.await("the answer to "+q.String(), func(m *wire.ServerMessage) bool { return m.ReplyTo == q.Id })
}

func (d *device) direct(peer string) []byte {
	d.t.Helper()
	m := d.ask(&wire.Request{Create: &wire.Create{Peer: peer}})
	if m.State == nil {
		d.t.Fatalf("create: %v", m)
	}
	return m.State.Conversation
}

func (d *device) send(conversation []byte, stream uint64, number uint32, text string) *wire.ServerMessage {
	d.t.Helper()
	return d.ask(&wire.Request{Send: &wire.Send{
		Conversation: conversation, Stream: stream, Number: number, Kind: wire.Kind_KIND_TEXT, Text: text,
	}})
}
