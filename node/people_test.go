package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/internal/redistest"
	"github.com/parleychat/parley/wire"
)

// dialDevice connects a user's device, named by hexadecimal digits, with a token.
func dialDevice(t *testing.T, n *Node, token, id string) (*device, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), late)
	defer cancel()
	query := url.Values{"device": {id}, "name": {"Änn's phone"}, "platform": {"test"}}
	at := "ws" + strings.TrimPrefix(n.URL(), "http") + "/ws?" + query.Encode()
	conn, err := client.Dial(ctx, at, client.DialOptions{Token: token})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &device{t: t, conn: conn}, nil
}

func onDevice(t *testing.T, n *Node, token, id string) *device {
	t.Helper()
	d, err := dialDevice(t, n, token, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tokenOf(t *testing.T, n *Node, body string) string {
	t.Helper()
	status, token := askToken(t, n, "application/json", body)
	if status != http.StatusOK {
		t.Fatalf("no token: %d", status)
	}
	return token
}

// ends reads to the close frame of a session.
func (d *device) ends() wire.CloseCode {
	d.t.Helper()
	giveUp := time.AfterFunc(late, func() { _ = d.conn.Close() })
	defer giveUp.Stop()
	for {
		if _, err := d.conn.Read(); err != nil {
			if closed, ok := errors.AsType[*client.CloseError](err); ok {
				return closed.Code
			}
			d.t.Fatalf("instead of a close frame: %v", err)
		}
	}
}

func (d *device) watch(rooms ...[]byte) *wire.Presences {
	d.t.Helper()
	m := d.ask(&wire.Request{Watch: &wire.Watch{Conversations: rooms}})
	if m.Presences == nil {
		d.t.Fatalf("watch: %v", m)
	}
	return m.Presences
}

// stands waits for the hint that a user is online or not, and says how long that
// took.
func (d *device) stands(user string, online bool) (*wire.Presence, time.Duration) {
	d.t.Helper()
	start := time.Now()
	m := d.await(fmt.Sprintf("%s online = %v", user, online), func(m *wire.ServerMessage) bool {
		p := m.GetPresences().GetPresences()
		return m.ReplyTo == 0 && len(p) == 1 && p[0].User == user && p[0].Online == online
	})
	return m.Presences.Presences[0], time.Since(start)
}

// awaitDegraded asks until somebody is not online, as far as is known.
func (d *device) awaitDegraded(user string) {
	d.t.Helper()
	for deadline := time.Now().Add(late); ; time.Sleep(10 * time.Millisecond) {
		p := d.ask(&wire.Request{Presence: &wire.GetPresence{Users: []string{user}}}).Presences
		if p.GetDegraded() && !p.Presences[0].Online && p.Presences[0].LastSeen > 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: %v", user, p)
		}
	}
}

const phone, laptop = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "ffeeddccbbaa99887766554433221100"

// Whoever closes his connection is shown offline at once, whoever just vanishes two
// heartbeats later; and when he was there last is known after a restart.
func TestPresenceOfThoseWhoGo(t *testing.T) {
	dir := t.TempDir()
	change := func(c *Config) { c.Gateway.Heartbeat = 500 * time.Millisecond }
	n := start(t, dir, change)
	ann, bob := connect(t, n, "ann", wire.Binary), connect(t, n, "bob", wire.JSON)
	room := ann.direct("bob")
	if told := ann.watch(room); len(told.Presences) != 2 || !told.Presences[0].Online || !told.Presences[1].Online {
		t.Fatalf("watch: %v", told)
	}
	_ = bob.conn.Close()
	if _, took := ann.stands("bob", false); took > 2*time.Second {
		t.Errorf("closed, he was shown offline after %v", took)
	}
	tablet := onDevice(t, n, tokenOf(t, n, `{"user":"bob"}`), phone)
	ann.stands("bob", true)
	_ = tablet // it reads nothing any more, and so answers no ping
	before := time.Now()
	seen, took := ann.stands("bob", false)
	if took > 4*time.Second { // two heartbeats, a second for the close frame, and a slow machine
		t.Errorf("vanished, he was shown offline after %v", took)
	}
	if at := time.UnixMicro(seen.LastSeen); at.Before(before) || at.After(time.Now()) {
		t.Errorf("seen last at %v", at)
	}
	lastSeen := func(n *Node, user, peer string) time.Time {
		t.Helper()
		d := connect(t, n, user, wire.Binary)
		for _, p := range d.watch(d.direct(peer)).Presences {
			if p.User == peer && !p.Online {
				return time.UnixMicro(p.LastSeen)
			}
		}
		t.Errorf("%s is online after a restart", peer)
		return time.Time{}
	}
	closing := time.Now()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir, change)
	if at := lastSeen(n, "ann", "bob"); at.UnixMicro() != seen.LastSeen {
		t.Errorf("bob was seen last at %v after the restart, before it at %d", at, seen.LastSeen)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir, change)
	if at := lastSeen(n, "bob", "ann"); at.Before(closing) { // she was there when it stopped
		t.Errorf("ann was seen last at %v, though there at %v", at, closing)
	}
}

// A device that is revoked is cut off at once, and neither it nor its token comes
// in again.
func TestRevokedDeviceStaysOut(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	first, second := tokenOf(t, n, `{"user":"ann"}`), tokenOf(t, n, `{"user":"ann"}`)
	lost, also := onDevice(t, n, first, phone), onDevice(t, n, first, phone)
	mine := onDevice(t, n, second, laptop)
	if got := mine.conn.Welcome(); got.TokenExpiresInMs < 86_000_000 || fmt.Sprintf("%x", got.Device) != laptop {
		t.Errorf("welcome %v", got)
	}
	list := mine.ask(&wire.Request{Devices: &wire.ListDevices{}}).Devices.GetDevices()
	if len(list) != 2 || list[0].Name != "Änn's phone" || !list[0].Online || list[0].Current || !list[1].Current {
		t.Fatalf("devices %v", list)
	}
	if m := mine.ask(&wire.Request{RevokeDevice: &wire.RevokeDevice{Device: list[0].Device}}); m.Done == nil {
		t.Fatal(m)
	}
	for _, d := range []*device{lost, also} {
		if code := d.ends(); code != wire.CloseRevoked {
			t.Errorf("closed with %v", code)
		}
	}
	const third = "00112233445566778899aabbccddeeff"
	for what, c := range map[string]struct{ token, id string }{
		"the device": {first, phone}, "the device with a fresh token": {second, phone}, "its token on another": {first, third},
	} {
		_, err := dialDevice(t, n, c.token, c.id)
		if refused, ok := errors.AsType[*client.HandshakeError](err); !ok || refused.Status != http.StatusForbidden || !strings.Contains(refused.Body, "revoked") {
			t.Errorf("%s: %v", what, err)
		}
	}
	onDevice(t, n, tokenOf(t, n, `{"user":"ann"}`), third)
	if list := mine.ask(&wire.Request{Devices: &wire.ListDevices{}}).Devices.GetDevices(); len(list) != 2 {
		t.Errorf("devices %v", list)
	}
	// Who revokes himself has the answer, and then the end.
	if m := mine.ask(&wire.Request{RevokeDevice: &wire.RevokeDevice{Device: mine.conn.Welcome().Device}}); m.Done == nil {
		t.Fatal(m)
	}
	if code := mine.ends(); code != wire.CloseRevoked {
		t.Errorf("closed with %v", code)
	}
}

// A token that ends is told before; what comes with a fresh one goes on.
func TestTokenExpires(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	began := time.Now()
	ann := onDevice(t, n, tokenOf(t, n, `{"user":"ann","ttl":2}`), phone)
	if left := ann.conn.Welcome().TokenExpiresInMs; left < 1 || left > 2000 {
		t.Errorf("the token holds %d ms", left)
	}
	m := ann.await("the warning", func(m *wire.ServerMessage) bool { return m.TokenExpiring != nil })
	if m.TokenExpiring.ExpiresInMs > 2000 {
		t.Errorf("warned: %v", m)
	}
	if code := ann.ends(); code != wire.CloseExpired {
		t.Errorf("closed with %v", code)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("closed after %v", took)
	}
	onDevice(t, n, tokenOf(t, n, `{"user":"ann"}`), phone).ask(&wire.Request{Sync: &wire.Sync{}})
}

// Two nodes with one Redis; then Redis is killed. Messages do not notice, presence
// says that it is degraded, and knows who is here.
func TestRedisAway(t *testing.T) {
	redis, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = redis.Close() }()
	n := start(t, t.TempDir(), func(c *Config) { c.Presence.Addresses = redis.Addresses() })
	ann, bob := connect(t, n, "ann", wire.Binary), connect(t, n, "bob", wire.Binary)
	room, stream := ann.direct("bob"), ann.conn.Welcome().Stream
	carl := connect(t, n, "carl", wire.Binary)
	other := ann.direct("carl")
	if told := ann.watch(room, other); told.Degraded || !told.Presences[0].Online || !told.Presences[1].Online {
		t.Fatalf("watch: %v", told)
	}
	_ = carl.conn.Close()
	ann.stands("carl", false)
	_ = bob.conn.Close()
	ann.stands("bob", false)
	bob = connect(t, n, "bob", wire.Binary)
	ann.stands("bob", true)

	number := uint32(0)
	slowest := time.Duration(0)
	send := func() {
		t.Helper()
		number++
		began := time.Now()
		if m := ann.send(room, stream, number, "hello"); m.Sent == nil || m.Sent.Seq != uint64(number) {
			t.Fatalf("send %d: %v", number, m)
		}
		slowest = max(slowest, time.Since(began))
		bob.await("the message", func(m *wire.ServerMessage) bool { return m.Message != nil && m.Message.Seq == uint64(number) })
	}
	for range 20 {
		send()
	}
	for i := range redistest.Masters { // it hangs, which is worse than gone
		if err := redis.Pause(i); err != nil {
			t.Fatal(err)
		}
		send()
	}
	if p := ann.ask(&wire.Request{Presence: &wire.GetPresence{Users: []string{"bob"}}}).Presences; !p.GetPresences()[0].Online {
		t.Errorf("presence of who is here: %v", p)
	}
	for i := range redistest.Masters {
		if err := redis.Kill(i); err != nil {
			t.Fatal(err)
		}
		send()
	}
	for deadline := time.Now().Add(late); ; {
		send()
		m := ann.ask(&wire.Request{Presence: &wire.GetPresence{Users: []string{"bob", "carl"}}})
		if p := m.Presences; p == nil || !p.Presences[0].Online || p.Presences[1].Online || p.Presences[1].LastSeen == 0 {
			t.Fatalf("presence: %v", m)
		} else if p.Degraded {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody notices that Redis is away")
		}
	}
	for range 200 {
		send()
	}
	onDevice(t, n, tokenOf(t, n, `{"user":"carl"}`), phone) // who comes now is let in
	ann.stands("carl", true)
	_ = bob.conn.Close()
	ann.awaitDegraded("bob")
	if slowest > 2*time.Second {
		t.Errorf("a send took %v", slowest)
	}
	if s := n.Stats().Presence; s.DegradedSince.IsZero() || s.Degraded == 0 {
		t.Errorf("stats %+v", s)
	}
}

// A node starts without its Redis.
func TestRedisAwayFromTheStart(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	n := start(t, t.TempDir(), func(c *Config) { c.Presence.Addresses = []string{address} })
	ann := connect(t, n, "ann", wire.Binary)
	bob := connect(t, n, "bob", wire.Binary)
	room := ann.direct("bob")
	if told := ann.watch(room); !told.Presences[0].Online || !told.Presences[1].Online {
		t.Errorf("watch: %v", told)
	}
	_ = bob.conn.Close()
	ann.awaitDegraded("bob")
}
