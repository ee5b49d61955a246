package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// change replaces the line that begins with a name; an empty line is left out.
func change(name, line string) func(string) string {
	return func(l string) string {
		if strings.HasPrefix(l, name) {
			return line
		}
		return l
	}
}

func TestHandshakesAreJudged(t *testing.T) {
	bearer := "Authorization: Bearer ann"
	cases := []struct {
		name   string
		edit   func(string) string
		status int
		header string // that the answer must have
	}{
		{"as it should be", nil, 101, ""},
		{"tokens of fields in another case", change("Connection", "connection: UPGRADE"), 101, ""},
		{"with other subprotocols", change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: graphql, parley.v1.json, parley.v1.proto"), 101, ""},
		{"subprotocols in two fields", change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: graphql\r\nSec-WebSocket-Protocol: parley.v1.json"), 101, ""},
		{"POST", change("GET", "POST /ws HTTP/1.1\r\nContent-Length: 0"), 405, "Allow"},
		{"HTTP/1.0", change("GET", "GET /ws HTTP/1.0"), 505, ""},
		{"no host", change("Host", ""), 400, ""},
		{"two hosts", change("Host", "Host: a\r\nHost: b"), 400, ""},
		{"a body", change("Host", "Host: chat.example\r\nContent-Length: 3"), 400, ""},
		{"a chunked body", change("Host", "Host: chat.example\r\nTransfer-Encoding: chunked"), 400, ""},
		{"no upgrade", change("Upgrade", ""), 426, "Upgrade"},
		{"another upgrade", change("Upgrade", "Upgrade: h2c"), 426, "Upgrade"},
		{"no connection", change("Connection", "Connection: keep-alive"), 426, "Upgrade"},
		{"no version", change("Sec-WebSocket-Version", ""), 426, "Sec-WebSocket-Version"},
		{"version 8", change("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "Sec-WebSocket-Version"},
		{"two versions", change("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 426, ""},
		{"no key", change("Sec-WebSocket-Key", ""), 400, ""},
		{"two keys", change("Sec-WebSocket-Key", "Sec-WebSocket-Key: "+testKey+"\r\nSec-WebSocket-Key: "+testKey), 400, ""},
		{"short key", change("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="), 400, ""},
		{"long key", change("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE="), 400, ""},
		{"key that is no base64", change("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="), 400, ""},
		{"key with loose bits", change("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400, ""},
		{"no subprotocol", change("Sec-WebSocket-Protocol", ""), 400, ""},
		{"unknown subprotocol", change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: parley.v2.proto"), 400, ""},
		{"malformed subprotocols", change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: parley.v1.json,, parley.v1.proto"), 400, ""},
		{"subprotocol with a quote", change("Sec-WebSocket-Protocol", `Sec-WebSocket-Protocol: parley.v1.json, "x"`), 400, ""},
		{"no token", change("Authorization", ""), 401, "WWW-Authenticate"},
		{"empty token", change("Authorization", "Authorization: Bearer "), 401, "WWW-Authenticate"},
		{"basic authorization", change("Authorization", "Authorization: Basic YW5uOmFubg=="), 401, "WWW-Authenticate"},
		{"two authorizations", change("Authorization", bearer+"\r\n"+bearer), 401, "WWW-Authenticate"},
		{"two tokens", change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: parley.v1.json, parley.token.ann"), 400, ""},
		{"a token in the URL", func(l string) string {
			return change("Authorization", "")(change("GET", "GET /ws?token=ann&access_token=ann HTTP/1.1")(l))
		}, 401, ""},
		{"a wrong token", change("Authorization", "Authorization: Bearer wrong"), 401, "WWW-Authenticate"},
		{"the same origin", change("Host", "Host: chat.example\r\nOrigin: https://chat.example"), 101, ""},
		{"a strange origin", change("Host", "Host: chat.example\r\nOrigin: https://evil.example"), 403, ""},
		{"an origin that ends alike", change("Host", "Host: chat.example\r\nOrigin: https://evilchat.example"), 403, ""},
		{"a null origin", change("Host", "Host: chat.example\r\nOrigin: null"), 403, ""},
		{"two origins", change("Host", "Host: chat.example\r\nOrigin: https://chat.example\r\nOrigin: https://evil.example"), 403, ""},
		{"a listed origin", change("Host", "Host: chat.example\r\nOrigin: https://app.example"), 101, ""},
	}
	s, _, addr := newServer(t, Options{Origins: []string{"https://app.example"}})
	opened := 0
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c, response := dialRaw(t, addr, handshakeOf("ann", wire.JSON, test.edit))
			defer c.conn.Close()
			if response.StatusCode != test.status || test.header != "" && response.Header.Get(test.header) == "" {
				t.Errorf("%s with %v, want %d with %s", response.Status, response.Header, test.status, test.header)
			}
			if response.StatusCode == http.StatusSwitchingProtocols {
				opened++
				if p := response.Header.Values("Sec-WebSocket-Protocol"); len(p) != 1 || p[0] != "parley.v1.json" {
					t.Errorf("subprotocol %q", p)
				}
			}
		})
	}
	if stats := s.Stats(); stats.Opened != uint64(opened) || stats.Refused.Handshakes == 0 {
		t.Errorf("%d opened, stats %+v", opened, stats)
	}
}

// TestBrowserTokens has the token in the subprotocol list, where a page can put
// it. It must not come back, and a wrong one must be seen by the page.
func TestBrowserTokens(t *testing.T) {
	_, _, addr := newServer(t, Options{})
	browser := func(token string) (*client, *http.Response) {
		return dialRaw(t, addr, handshakeOf("", wire.JSON, func(l string) string {
			return change("Authorization", "")(change("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: parley.v1.json, parley.token."+token)(l))
		}))
	}
	c, response := browser("ann")
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Protocol") != "parley.v1.json" {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	c.protocol = wire.JSON
	if m, err := c.read(); err != nil || m[0].Welcome.GetUser() != "ann" {
		t.Errorf("welcome %v, %v", m, err)
	}
	c, response = browser("wrong")
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
	c.protocol = wire.JSON
	c.write(clientMessage(wire.JSON, getState(1)))
	if code := c.closed(); code != wire.CloseBadToken {
		t.Errorf("closed with %v", code)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s, b, addr := newServer(t, Options{SessionsMax: 3, UserSessionsMax: 2})
	first := dial(t, addr, "ann", wire.Binary)
	dial(t, addr, "ann", wire.Binary)
	if _, response := dialRaw(t, addr, handshakeOf("ann", wire.Binary, nil)); response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("third session of a user: %s", response.Status)
	}
	dial(t, addr, "bob", wire.Binary)
	if _, response := dialRaw(t, addr, handshakeOf("carl", wire.Binary, nil)); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("fourth session: %s", response.Status)
	}
	if stats := s.Stats(); stats.Sessions != 3 || stats.Refused.Sessions != 1 || stats.Refused.UserSessions != 1 {
		t.Errorf("stats %+v", stats)
	}
	b.mu.Lock()
	if b.never != 1 { // the other was refused before its token was looked at
		t.Errorf("backend heard of %d sessions that there never were", b.never)
	}
	b.mu.Unlock()
	first.conn.Close()
	eventually(t, "a free place", func() bool { return s.Stats().Sessions == 2 })
	dial(t, addr, "carl", wire.Binary)
}

func TestAuthenticationIsBounded(t *testing.T) {
	s, b, addr := newServer(t, Options{HandshakesMax: 1, AuthenticateTimeout: 30 * time.Second})
	entered, leave := make(chan struct{}), make(chan struct{})
	b.authenticate = func(_ context.Context, token string) (parley.Identity, time.Time, error) {
		entered <- struct{}{}
		<-leave
		return parley.Identity{User: user(token)}, time.Time{}, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		dial(t, addr, "ann", wire.Binary)
	}()
	<-entered
	if _, response := dialRaw(t, addr, handshakeOf("bob", wire.Binary, nil)); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a handshake too many: %s", response.Status)
	}
	if n := s.Stats().Refused.Authenticating; n != 1 {
		t.Errorf("%d counted", n)
	}
	close(leave)
	<-done
}

func TestErrorsOfAuthenticate(t *testing.T) {
	_, b, addr := newServer(t, Options{AuthenticateTimeout: 20 * time.Millisecond})
	b.authenticate = func(ctx context.Context, token string) (parley.Identity, time.Time, error) {
		switch token {
		case "late":
			<-ctx.Done()
			return parley.Identity{}, time.Time{}, ctx.Err()
		case "overloaded":
			return parley.Identity{}, time.Time{}, parley.Overloaded
		case "forbidden":
			return parley.Identity{}, time.Time{}, parley.NotAllowed
		}
		return parley.Identity{}, time.Time{}, errors.New("secret detail")
	}
	for token, status := range map[string]int{"late": 503, "overloaded": 503, "forbidden": 403, "broken": 503} {
		_, response := dialRaw(t, addr, handshakeOf(token, wire.Binary, nil))
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != status || strings.Contains(string(body), "secret") {
			t.Errorf("%s: %s %s", token, response.Status, body)
		}
	}
}

// TestWithoutHijack asks through a writer that can not give its connection away.
func TestWithoutHijack(t *testing.T) {
	s, b := newFakeServer(t, Options{})
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	for line := range strings.SplitSeq(handshakeOf("ann", wire.Binary, nil), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("answered %d", w.Code)
	}
	closeFake(t, s, b)
}
