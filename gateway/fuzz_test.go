package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley/wire"
)

// FuzzReceived feeds a session with any bytes, cut anywhere: it answers, or
// closes with a code, and holds no more than it may.
func FuzzReceived(f *testing.F) {
	f.Add(false, 3, clientMessage(wire.Binary, getState(1), send(2, 3)))
	f.Add(true, 40, clientMessage(wire.JSON, getState(1), send(2, 3)))
	f.Add(false, 1, clientFrame(wire.OpPing, true, []byte("x")))
	f.Add(true, 9, clientFrame(wire.OpText, false, []byte("{")))
	f.Add(false, 2, clientFrame(wire.OpClose, true, wire.AppendClose(nil, wire.CloseNormal, "")))
	s := New(quiet(Options{Heartbeat: time.Hour}))
	b := newBackend(s)
	s.start(b)
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, json bool, cut int, sent []byte) {
		p := wire.Binary
		if json {
			p = wire.JSON
		}
		c := connect(t, s, "ann", p, time.Time{})
		cut = max(min(cut, len(sent)), 0)
		c.receive(append([]byte(nil), sent[:cut]...))
		c.receive(append([]byte(nil), sent[cut:]...))
		if c.session.partial != nil && len(c.session.partial.B) > wire.FrameMax+wire.HeaderMax {
			t.Errorf("%d bytes are kept", len(c.session.partial.B))
		}
		c.close()
		<-c.over
		c.read() // what was answered can be read
	})
}

// FuzzHandshake judges requests with any fields: a handshake that passes has
// everything that it must.
func FuzzHandshake(f *testing.F) {
	f.Add("websocket", "Upgrade", "13", testKey, "parley.v1.json", "Bearer x", "")
	f.Add("websocket", "keep-alive, Upgrade", "13", testKey, "parley.v1.proto, parley.token.x", "", "https://example.com")
	f.Add("", ",", "13,13", "====", "parley.token.", "Bearer", "null")
	f.Fuzz(func(t *testing.T, upgrade, connection, version, key, protocols, authorization, origin string) {
		r := httptest.NewRequest(http.MethodGet, "/ws", nil)
		for name, value := range map[string]string{
			"Upgrade": upgrade, "Connection": connection, "Sec-WebSocket-Version": version, "Sec-WebSocket-Key": key,
			"Sec-WebSocket-Protocol": protocols, "Authorization": authorization, "Origin": origin,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		h, no := readHandshake(r, nil)
		if no != nil {
			if no.status < 400 || no.reason == "" {
				t.Errorf("refused with %+v", no)
			}
			return
		}
		answer := string(h.appendAnswer(nil))
		if h.token == "" || h.protocol == 0 || len(h.key) != 24 || strings.Count(answer, "\r\n") != 6 || strings.Contains(answer, wire.TokenSubprotocolPrefix) {
			t.Errorf("taken: %+v, answered %q", h, answer)
		}
	})
}

// FuzzDevice reads queries of any form: a device that is taken keeps its limits.
func FuzzDevice(f *testing.F) {
	f.Add("device=" + phoneHex + "&name=J%C3%BCrgen%27s+phone&platform=Android")
	f.Add("device=" + phoneHex + "&device=" + phoneHex)
	f.Add("name=%FF&platform=%zz;")
	f.Fuzz(func(t *testing.T, query string) {
		d, no := readDevice(query)
		switch {
		case no != nil:
			if no.status != http.StatusBadRequest || no.reason == "" {
				t.Errorf("refused with %+v", no)
			}
		case len(d.Device) == 0 && d.Name+d.Platform != "", len(d.Device) != 0 && len(d.Device) != 16,
			len(d.Name) > deviceNameMax, len(d.Platform) > devicePlatformMax, strings.ContainsAny(d.Name+d.Platform, "\r\n\x00"):
			t.Errorf("taken: %v", d)
		}
	})
}
