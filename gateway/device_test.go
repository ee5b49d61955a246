package gateway

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

const phoneHex = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// deviceOf is the device of some hexadecimal digits.
func deviceOf(t testing.TB, digits string) (d parley.DeviceID) {
	t.Helper()
	if n, err := hex.Decode(d[:], []byte(digits)); err != nil || n != len(d) {
		t.Fatal(n, err)
	}
	return d
}

// onDevice is a handshake from a device, named by the query of its URL.
func onDevice(token, query string) string {
	return handshakeOf(token, wire.JSON, change("GET", "GET /ws?"+query+" HTTP/1.1"))
}

func TestDevicesAreJudged(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	long := strings.Repeat("x", 65)
	for query, status := range map[string]int{
		"":                   101,
		"device=" + phoneHex: 101,
		"device=":            101,
		"other=1&device=":    101,
		"name=nobody%27s":    101,
		"device=" + strings.ToUpper(phoneHex) + "&name=J%C3%BCrgen%27s+phone&platform=Android": 101,
		"device=" + phoneHex[1:]:                        400,
		"device=" + phoneHex + "00":                     400,
		"device=" + phoneHex[:31] + "g":                 400,
		"device=" + strings.Repeat("0", 32):             400,
		"device=" + phoneHex + "&device=" + phoneHex:    400,
		"device=" + phoneHex + "&name=" + long:          400,
		"device=" + phoneHex + "&name=" + long[1:]:      101,
		"device=" + phoneHex + "&platform=" + long[:33]: 400,
		"device=" + phoneHex + "&platform=" + long[:32]: 101,
		"device=" + phoneHex + "&name=a%0Ab":            400,
		"device=" + phoneHex + "&name=%FF":              400,
		"device=" + phoneHex + "&name=a%E2%80%A8b":      400,
		"device=" + phoneHex + "&name=%zz":              400,
		"device=" + phoneHex + "&name=a;b":              400,
		"platform=" + long:                              400,
	} {
		c, response := dialRaw(t, addr, onDevice("ann", query))
		if response.StatusCode != status {
			t.Errorf("%s: %s, want %d", query, response.Status, status)
		}
		if status == http.StatusSwitchingProtocols {
			c.protocol = wire.JSON
			m, err := c.read()
			if err != nil || (m[0].Welcome.GetDevice() != nil) != strings.Contains(strings.ToLower(query), phoneHex) {
				t.Errorf("%s: welcome %v, %v", query, m, err)
			}
		}
		c.conn.Close()
	}
	if n := s.Stats().Refused.Handshakes; n != 13 {
		t.Errorf("%d were counted", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	named := 0
	for _, d := range b.devices {
		if d.Platform == "Android" && d.Name == "Jürgen's phone" && parley.DeviceID(d.Device) == deviceOf(t, phoneHex) {
			named++
		}
		if d.Device == nil && d.Name+d.Platform != "" {
			t.Errorf("the nameless device has a name: %v", d)
		}
	}
	if named != 1 {
		t.Errorf("%d of %d handshakes named the phone", named, len(b.devices))
	}
}

func TestWelcomeTellsHowLongTheTokenHolds(t *testing.T) {
	_, b, addr := newServer(t, Options{})
	expires := time.Now().Add(time.Hour)
	b.authenticate = func(_ context.Context, token string) (parley.Identity, time.Time, error) {
		return parley.Identity{User: user(token)}, expires, nil
	}
	c, _ := dialRaw(t, addr, handshakeOf("ann", wire.JSON, nil))
	c.protocol = wire.JSON
	m, err := c.read()
	if err != nil || m[0].Welcome.TokenExpiresInMs < 3_500_000 || m[0].Welcome.TokenExpiresInMs > 3_600_000 {
		t.Errorf("welcome %v, %v", m, err)
	}
}

// A device that is ended has its sockets closed at once, all of them and no
// others.
func TestEndDevice(t *testing.T) {
	s, _, addr := newServer(t, Options{})
	on := func(name, query string) *client {
		c, response := dialRaw(t, addr, onDevice(name, query))
		if response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(response.Status)
		}
		c.protocol = wire.JSON
		if _, err := c.read(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := on("ann", "device="+phoneHex), on("ann", "device="+phoneHex)
	laptop, nameless, bob := on("ann", "device="+strings.Repeat("1", 32)), on("ann", ""), on("bob", "device="+phoneHex)
	if got := s.Sessions(user("ann"), nil); len(got) != 4 {
		t.Errorf("ann has the sessions %v", got)
	} else if d, ok := s.Device(got[0]); !ok || d != deviceOf(t, phoneHex) {
		t.Errorf("the first is on %v", d)
	}
	s.EndDevice(user("ann"), deviceOf(t, phoneHex), wire.CloseRevoked, "revoked")
	for _, c := range []*client{first, second} {
		if code := c.closed(); code != wire.CloseRevoked {
			t.Errorf("closed with %v", code)
		}
	}
	for _, c := range []*client{laptop, nameless, bob} {
		c.request(getState(1))
		c.answer(1)
	}
	s.EndDevice(user("ann"), parley.DeviceID{}, wire.CloseRevoked, "revoked")
	if code := nameless.closed(); code != wire.CloseRevoked {
		t.Errorf("closed with %v", code)
	}
	if n := s.Stats().Refused.Revoked; n != 3 {
		t.Errorf("%d were counted", n)
	}
	laptop.request(getState(2))
	laptop.answer(2)
}

// A handshake whose token was believed just before the device was ended does not
// slip through.
func TestEndDeviceDuringItsHandshake(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	phone := deviceOf(t, phoneHex)
	authenticate := b.authenticate
	times := 1
	b.authenticate = func(ctx context.Context, token string) (parley.Identity, time.Time, error) {
		for range times {
			s.EndDevice(user("ann"), phone, wire.CloseRevoked, "revoked")
		}
		return authenticate(ctx, token)
	}
	if _, response := dialRaw(t, addr, onDevice("ann", "device="+phoneHex)); response.StatusCode != http.StatusForbidden {
		t.Errorf("revoked: %s", response.Status)
	}
	if _, response := dialRaw(t, addr, onDevice("bob", "device="+phoneHex)); response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("another user's: %s", response.Status)
	}
	times = shutOutKept + 1
	if _, response := dialRaw(t, addr, onDevice("carl", "device="+phoneHex)); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("behind too many: %s", response.Status)
	}
}

// The refusal of a revoked device is seen by pages too.
func TestRevokedHandshakes(t *testing.T) {
	_, b, addr := newServer(t, Options{})
	b.authenticate = func(context.Context, string) (parley.Identity, time.Time, error) {
		return parley.Identity{}, time.Time{}, parley.Revoked
	}
	if _, response := dialRaw(t, addr, onDevice("ann", "device="+phoneHex)); response.StatusCode != http.StatusForbidden {
		t.Errorf("refused with %s", response.Status)
	}
	c, response := dialRaw(t, addr, handshakeOf("", wire.JSON, func(l string) string {
		return change("Authorization", "")(change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: parley.v1.json, parley.token.ann")(l))
	}))
	c.protocol = wire.JSON
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
	if code := c.closed(); code != wire.CloseRevoked {
		t.Errorf("closed with %v", code)
	}
}

// Hints are written at once or dropped: they neither end a slow session nor are
// they counted.
func TestHintsAreDroppedForTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{HintBytesMax: 1000, Heartbeat: time.Hour})
		slow := connect(t, s, "ann", wire.Binary, time.Time{})
		quick := connect(t, s, "bob", wire.JSON, time.Time{})
		slow.stall()
		hint := &wire.ServerMessage{Typing: &wire.Typing{Conversation: conversation, Active: true, User: "carl"}}
		to := []wire.SessionID{slow.session.id, 12345, quick.session.id}
		for range 200 {
			s.Hint(to, hint)
			s.Flush()
			synctest.Wait()
		}
		if stats := s.Stats(); stats.OutboxBytes > 1000 || stats.HintsDropped < 150 || stats.Hints+stats.HintsDropped != 400 || stats.Pushes != 0 {
			t.Errorf("stats %+v", stats)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := quick.got(); len(got) != 200 || got[199].Typing.GetUser() != "carl" {
			t.Errorf("%d messages for who reads", len(got))
		}
		slow.unstall()
		synctest.Wait()
		got := slow.got()
		if code := slow.closeCode(); code != 0 || len(got) == 0 {
			t.Errorf("the slow session: close code %v, %d hints", code, len(got))
		}
		for _, m := range append(got, quick.got()...) {
			if m.Check != nil {
				t.Errorf("hints were counted: %v", m)
			}
		}
		closeFake(t, s, b, slow, quick)
	})
}
