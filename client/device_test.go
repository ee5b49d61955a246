package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func TestDialNamesTheDevice(t *testing.T) {
	s := newServer(t)
	id := parley.DeviceID{0xab, 15: 1}
	met := make(chan *remote, 1)
	go func() {
		e := <-s.sessions
		e.push(&wire.ServerMessage{Welcome: &wire.Welcome{User: "ann", Device: id[:], TokenExpiresInMs: 9}})
		met <- e
	}()
	o := DialOptions{Token: "x", DeviceID: id, Device: Device{Name: "ann's & bob's=1 \u00fc", Platform: "a b"}}
	c, err := Dial(t.Context(), s.url()+"?shard=7%26&name=old", o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if w := c.Welcome(); string(w.Device) != string(id[:]) || w.TokenExpiresInMs != 9 {
		t.Errorf("welcome = %v", w)
	}
	q := (<-met).url.Query()
	for key, want := range map[string]string{
		"device": hex.EncodeToString(id[:]), "name": "ann's & bob's=1 \u00fc", "platform": "a b", "shard": "7&",
	} {
		if got := q[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
}

func TestDialWithoutADevice(t *testing.T) {
	s := newServer(t)
	met := make(chan *remote, 1)
	go func() { e := <-s.sessions; e.push(&wire.ServerMessage{Welcome: testWelcome}); met <- e }()
	c, err := Dial(t.Context(), s.url()+"?a=%20b", DialOptions{Token: "x", Device: Device{Name: "nobody"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if got := (<-met).url.RawQuery; got != "a=%20b" {
		t.Errorf("query %q", got)
	}
}

// The id is made once, also for a file of a version that knew none.
func TestDeviceStaysTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open := func() *FileStore {
		store, err := OpenFileStore(path)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	old := open()
	if err := old.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyMeta, []byte(`{"User":"ann","Incarnation":5,"Stream":77,"Streams":[77],"NextDraft":9}`))
	}); err != nil {
		t.Fatal(err)
	}
	_ = old.Close()
	s := newServer(t)
	var seen []string
	for i := range 3 {
		o := testOptions(s, wire.Binary, open())
		o.Device.Name, o.NewDevice = "phone", i == 2
		d := start(t, o)
		e := s.greetSynced(77, 5)
		q := e.url.Query()
		if q.Get("name") != "phone" || q.Get("platform") != runtime.GOOS {
			t.Errorf("query %v", q)
		}
		d.untilSynced()
		if d.meta.NextDraft != 9 {
			t.Errorf("the old file was not taken over: %+v", d.meta)
		}
		d.stop()
		seen = append(seen, q.Get("device"))
	}
	if len(seen[0]) != 32 || seen[0] != seen[1] || seen[1] == seen[2] || seen[0] == strings.Repeat("0", 32) {
		t.Errorf("devices %q", seen)
	}
}

func TestDeviceIsNamedPlainly(t *testing.T) {
	for _, d := range []Device{{Name: strings.Repeat("x", 65)}, {Name: "a\nb"}, {Platform: strings.Repeat("x", 33)}, {Platform: "\xff"}} {
		_, err := Open(Options{URL: "ws://127.0.0.1:1", Token: func(context.Context) (string, error) { return "", nil }, Device: d})
		if !errors.Is(err, parley.BadRequest) {
			t.Errorf("%q: %v", d, err)
		}
	}
}

func TestDevicesAndRevoke(t *testing.T) {
	both(t, func(t *testing.T, p wire.Subprotocol) {
		s := newServer(t)
		d := start(t, testOptions(s, p, nil))
		e := s.greetSynced(77, 5)
		type answer struct {
			devices []DeviceState
			err     error
		}
		got := make(chan answer, 1)
		go func() { devices, err := d.Devices(t.Context()); got <- answer{devices, err} }()
		id := parley.DeviceID{7, 15: 9}
		e.answer(e.expect("devices", func(q *wire.Request) bool { return q.Devices != nil }), &wire.ServerMessage{Devices: &wire.Devices{Devices: []*wire.Device{
			{Device: id[:], Name: "phone", Platform: "android", Created: 1_000_000, LastSeen: 2_000_000, Online: true},
			{Current: true},
		}}})
		a := <-got
		want := DeviceState{ID: id, Device: Device{"phone", "android"}, Created: time.Unix(1, 0).UTC(), LastSeen: time.Unix(2, 0).UTC(), Online: true}
		if a.err != nil || len(a.devices) != 2 || a.devices[0] != want || a.devices[1] != (DeviceState{Current: true}) {
			t.Fatalf("devices %+v, %v", a.devices, a.err)
		}
		for _, revoked := range []parley.DeviceID{id, {}} {
			done := make(chan error, 1)
			go func() { done <- d.Revoke(t.Context(), revoked) }()
			q := e.expect("revoke", func(q *wire.Request) bool { return q.RevokeDevice != nil })
			if got := q.RevokeDevice.Device; revoked.IsZero() && len(got) != 0 || !revoked.IsZero() && string(got) != string(revoked[:]) {
				t.Errorf("revoked %x", got)
			}
			e.answer(q, &wire.ServerMessage{Done: &wire.Done{}})
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// A device that was shut out stops, asks for no other token, and keeps what it
// holds, so that it can come back as another one.
func TestRevokedDeviceStops(t *testing.T) {
	for name, shutOut := range map[string]func(s *server, e *remote){
		"while connected": func(_ *server, e *remote) { e.bye(wire.CloseRevoked, "revoked") },
		"before": func(s *server, e *remote) {
			s.refuseAs(403, "revoked\n")
			e.cut()
		},
		"in a handshake": func(s *server, e *remote) {
			e.cut()
			s.accept().frame(wire.OpClose, wire.AppendClose(nil, wire.CloseRevoked, "revoked"))
		},
		"in an answer": func(s *server, e *remote) {
			q := e.expect("send", func(q *wire.Request) bool { return q.Send != nil })
			e.refuse(q, parley.Revoked, 0)
			e.wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			store := NewMemoryStore()
			o := testOptions(s, wire.Binary, store)
			d := start(t, o)
			e := s.greetSynced(77, 5, state(1, 0, 1, 0, 0, 0))
			d.untilSynced()
			device := e.url.Query().Get("device")
			draft := d.send(room(1), "kept")
			shutOut(s, e)
			event(d, func(x Stopped) bool { return errors.Is(x.Err, ErrRevoked) })
			if _, err := d.Devices(t.Context()); !errors.Is(err, ErrRevoked) {
				t.Errorf("a call: %v", err)
			}
			asked := len(s.seenTokens())
			d.stop()
			s.refuseWith(0)
			o.NewDevice = true
			d = start(t, o)
			e = s.greetSynced(78, 5, state(1, 0, 1, 0, 0, 0))
			if again := e.url.Query().Get("device"); again == device || len(s.seenTokens()) != asked+1 {
				t.Errorf("came back as %s after %d logins", again, len(s.seenTokens()))
			}
			e.sent(e.expect("send", func(q *wire.Request) bool { return q.Send != nil && q.Send.Text == "kept" }), 1)
			d.untilStatus(draft.ID, Sent)
		})
	}
}

// A 403 of something else is no revocation.
func TestForbiddenIsNotRevoked(t *testing.T) {
	s := newServer(t)
	s.refuseAs(403, "this origin is not allowed")
	d := start(t, testOptions(s, wire.Binary, nil))
	event(d, func(x Stopped) bool { return isLogin(x.Err) && !errors.Is(x.Err, ErrRevoked) })
}

// A reader of an older version takes the file of this one.
func TestMetaStaysReadable(t *testing.T) {
	b, err := json.Marshal(Meta{Device: parley.DeviceID{1}, NextDraft: 3})
	if err != nil {
		t.Fatal(err)
	}
	var old struct{ NextDraft uint64 }
	if err := json.Unmarshal(b, &old); err != nil || old.NextDraft != 3 {
		t.Fatal(old, err)
	}
}
