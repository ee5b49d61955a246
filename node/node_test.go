package node

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/wire"
)

// Two people talk, one in each subprotocol; the server is stopped and started
// again; everything that they saw is there, under the same sequences.
func TestTwoPeopleTalk(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, nil)
	ann, bob := connect(t, n, "ann", wire.Binary), connect(t, n, "bob", wire.JSON)
	stream, incarnation := ann.conn.Welcome().Stream, ann.conn.Welcome().Incarnation
	room := ann.direct("bob")

	if m := ann.send(room, stream, 1, "hello, bob"); m.Sent == nil || m.Sent.Seq != 1 {
		t.Fatalf("receipt = %v", m)
	}
	m := bob.await("the message", func(m *wire.ServerMessage) bool { return m.Message != nil }).Message
	if m.From != "ann" || m.Text != "hello, bob" || m.Seq != 1 || !bytes.Equal(m.Conversation, room) {
		t.Fatalf("push = %v", m)
	}
	if d := bob.ask(&wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: room, Read: 1}}}}); d.Done == nil {
		t.Fatalf("acknowledge = %v", d)
	}
	marks := ann.await("the tick", func(m *wire.ServerMessage) bool { return m.Marks != nil }).Marks
	if marks.User != "bob" || marks.Delivered != 1 || marks.Read != 1 {
		t.Fatalf("tick = %v", marks)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	bob.await("the announcement", func(m *wire.ServerMessage) bool { return m.GoingAway != nil })
	var closed *client.CloseError
	if _, err := bob.conn.Read(); !errors.As(err, &closed) || closed.Code != wire.CloseGoingAway {
		t.Fatalf("the session ended with %v, want %d", err, wire.CloseGoingAway)
	}

	n = start(t, dir, nil)
	bob = connect(t, n, "bob", wire.Binary)
	if got := bob.conn.Welcome().Incarnation; got != incarnation {
		t.Fatalf("incarnation = %d, was %d", got, incarnation)
	}
	page := bob.ask(&wire.Request{History: &wire.History{Conversation: room}}).Page
	if page == nil || page.Last != 1 || len(page.Items) != 1 || page.Items[0].Message.Text != "hello, bob" {
		t.Fatalf("history = %v", page)
	}
	list := bob.ask(&wire.Request{Sync: &wire.Sync{}}).SyncPage
	if list == nil || len(list.States) != 1 || list.States[0].Unread != 0 || list.States[0].Peer.User != "ann" || !list.Authoritative {
		t.Fatalf("sync = %v", list)
	}
	ann = connect(t, n, "ann", wire.Binary)
	if m := ann.send(room, stream, 1, "hello, bob"); m.Sent == nil || m.Sent.Seq != 1 {
		t.Fatalf("receipt of a repeat = %v", m)
	}
	if m := ann.send(room, stream, 1, "something else"); m.Error == nil || m.Error.Code != uint32(parley.NumberReused) {
		t.Fatalf("receipt of another body = %v", m)
	}
}

// A message reaches the other devices of both, and not the one that sent it.
func TestAllDevicesHear(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	phone, laptop := connect(t, n, "ann", wire.Binary), connect(t, n, "ann", wire.Binary)
	first, second := connect(t, n, "bob", wire.Binary), connect(t, n, "bob", wire.JSON)
	room := phone.direct("bob")
	phone.send(room, phone.conn.Welcome().Stream, 1, "hi")
	for _, d := range []*device{laptop, first, second} {
		d.await("the message", func(m *wire.ServerMessage) bool { return m.Message != nil && m.Message.Seq == 1 })
	}
	phone.ask(&wire.Request{Sync: &wire.Sync{}})
	for _, m := range phone.told {
		if m.Message != nil {
			t.Fatalf("the sender was told his own message: %v", m)
		}
	}
}

// With a disk that is nearly full sends are refused early, and reading goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, nil)
	ann := connect(t, n, "ann", wire.Binary)
	connect(t, n, "bob", wire.Binary)
	room := ann.direct("bob")
	stream := ann.conn.Welcome().Stream
	ann.send(room, stream, 1, "while there is room")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir, func(c *Config) { c.Chat.Engine.ReserveBytes = 1 << 62 })
	for deadline := time.Now().Add(late); ; time.Sleep(10 * time.Millisecond) {
		if _, body := get(t, n.URL()+"/readyz"); strings.Contains(body, "nearly full") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody notices the disk")
		}
	}
	ann = connect(t, n, "ann", wire.Binary)
	m := ann.send(room, stream, 2, "no room")
	if m.Error == nil || m.Error.Code != uint32(parley.DiskFull) || m.Error.RetryAfterMs == 0 {
		t.Fatalf("send = %v", m)
	}
	if p := ann.ask(&wire.Request{History: &wire.History{Conversation: room}}).Page; p == nil || len(p.Items) != 1 {
		t.Fatalf("history = %v", p)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, nil)
	_, err := Open(Config{Data: dir, Listen: "127.0.0.1:0", Dev: true, Logger: quiet()})
	if !errors.Is(err, engine.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("err = %v, want ErrLocked with the folder", err)
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	_, err := Open(Config{Data: t.TempDir(), Listen: strings.TrimPrefix(n.URL(), "http://"), Dev: true, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("err = %v", err)
	}
}

func TestConfigNeedsOneSourceOfTrust(t *testing.T) {
	for _, c := range []Config{{}, {Data: "x"}, {Data: "x", Dev: true, Keys: "y"}} {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestDevelopmentTokens(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	f := func(kind, body string, want int) {
		t.Helper()
		status, token := askToken(t, n, kind, body)
		if status != want || (token != "") != (want == http.StatusOK) {
			t.Errorf("%s %.40q: %d, token %q", kind, body, status, token)
		}
	}
	f("application/json", `{"user":"ann"}`, http.StatusOK)
	f("application/json", `{"user":"ann","ttl":1}`, http.StatusOK)
	f("application/json", `{"user":"ann","ttl":86400}`, http.StatusOK)
	for _, ttl := range []string{"0", "-1", "86401", "1.5", `"60"`} {
		f("application/json", `{"user":"ann","ttl":`+ttl+`}`, http.StatusBadRequest)
	}
	f("text/plain", `{"user":"ann"}`, http.StatusUnsupportedMediaType)
	f("application/json", `{"user":""}`, http.StatusBadRequest)
	f("application/json", `{"user":"a\nb"}`, http.StatusBadRequest)
	f("application/json", `{"user":"`+strings.Repeat("x", 129)+`"}`, http.StatusBadRequest)
	f("application/json", `{"user":"`+strings.Repeat("x", 8<<10)+`"}`, http.StatusBadRequest)
	f("application/json", `]`, http.StatusBadRequest)
}

// Without Dev nobody is given tokens.
func TestProductionGivesNoTokens(t *testing.T) {
	dev := t.TempDir()
	start(t, dev, nil)
	n := start(t, t.TempDir(), func(c *Config) { c.Dev, c.Keys = false, dev+"/dev.key" })
	if status, token := askToken(t, n, "application/json", `{"user":"ann"}`); status == http.StatusOK || token != "" {
		t.Fatalf("status %d, token %q", status, token)
	}
}

func TestWrongTokenIsRefused(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), late)
	defer cancel()
	if _, err := client.Dial(ctx, "ws"+strings.TrimPrefix(n.URL(), "http")+"/ws", client.DialOptions{Token: "e30.e30.e30"}); err == nil {
		t.Fatal("a forged token was accepted")
	}
}

func TestHealth(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, n.URL()+path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, body := get(t, n.URL()+"/"); status != http.StatusOK || !strings.Contains(body, "<title>") {
		t.Errorf("/: %d %.80q", status, body)
	}
	if status, body := get(t, n.URL()+"/v1/dev/users"); status != http.StatusOK || !strings.Contains(body, `"ann"`) {
		t.Errorf("/v1/dev/users: %d %q", status, body)
	}
	if status, _ := get(t, n.URL()+"/metrics"); status != http.StatusNotFound {
		t.Errorf("metrics are on the public port: %d", status)
	}
}

// timed notes the deadlines that a request is given.
type timed struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (w *timed) SetReadDeadline(t time.Time) error  { w.read = t; return nil }
func (w *timed) SetWriteDeadline(t time.Time) error { w.write = t; return nil }

// A request whose body never comes, and a reader who takes nothing, must not
// hold a connection for ever: also where a handshake belongs.
func TestEveryRequestHasDeadlines(t *testing.T) {
	for _, path := range []string{"/", "/ws", "/readyz", "/v1/dev/token"} {
		w := &timed{ResponseRecorder: httptest.NewRecorder()}
		safeHeaders(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.read.IsZero() || w.write.IsZero() {
			t.Errorf("%s: deadlines %v and %v", path, w.read, w.write)
		}
	}
}

// TestMetricsAreDocumented holds docs/OPERATING.md to what /metrics says.
func TestMetricsAreDocumented(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	status, body := get(t, n.AdminURL()+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	page, err := os.ReadFile("../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `(parley_[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
	}
	for _, m := range exported {
		if !strings.Contains(body, "\n"+m.name+" ") {
			t.Errorf("/metrics has no %s", m.name)
		}
		if !documented[m.name] {
			t.Errorf("docs/OPERATING.md does not describe %s", m.name)
		}
		delete(documented, m.name)
	}
	delete(documented, "parley_build_info")
	for name := range documented {
		t.Errorf("docs/OPERATING.md describes %s, which is not there", name)
	}
}
