package crashtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// TestHostileClients has one server meet every client that it must not trust,
// while two others talk through it and notice nothing.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	h := &hostile{dir: dir, s: mustStart(t, launch{dir: dir})}
	b := h.bystanders(t)
	t.Run("handshakes", h.handshakes)
	t.Run("a bad token of a browser", h.badBrowserToken)
	t.Run("frames", h.frames)
	t.Run("requests", h.requests)
	t.Run("too many sessions", h.tooManySessions)
	t.Run("a flood", h.flood)
	t.Run("one that never reads", h.neverReads)
	sent, slowest, err := b.end()
	if err != nil {
		t.Fatalf("the others: %v", err)
	}
	t.Logf("the others sent %d messages meanwhile, each acknowledged and delivered in order, the slowest after %v", sent, slowest.Round(time.Millisecond))
	if panics, err := h.s.metric("parley_gateway_panics_total"); err != nil || panics != 0 {
		t.Errorf("%v panics (%v)", panics, err)
	}
	if err := h.s.stop(); err != nil {
		t.Error(err)
	}
}

// hostile is a server and its enemies.
type hostile struct {
	s   *server
	dir string
}

// hail is the text of a handshake, which a test spoils.
type hail struct {
	method, target string
	fields         map[string]string
}

func (h *hostile) hail(t *testing.T, user string, p wire.Subprotocol) *hail {
	t.Helper()
	key, err := token(h.dir, user)
	if err != nil {
		t.Fatal(err)
	}
	return &hail{"GET", "/ws", map[string]string{
		"Host": h.s.listen, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol": p.String(), "Authorization": "Bearer " + key,
	}}
}

// raw is a socket without a client around it.
type raw struct {
	*net.TCPConn
	in *bufio.Reader
}

// send dials, says the handshake, and reads the answer's head.
func (h *hostile) send(t *testing.T, x *hail) (*raw, int) {
	t.Helper()
	conn, err := net.Dial("tcp", h.s.listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience)) // it is open
	text := fmt.Sprintf("%s %s HTTP/1.1\r\n", x.method, x.target)
	for name, value := range x.fields {
		text += name + ": " + value + "\r\n"
	}
	if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	r := &raw{conn.(*net.TCPConn), bufio.NewReader(conn)}
	answer, err := http.ReadResponse(r.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, answer.StatusCode
}

// session is a raw socket with a session.
func (h *hostile) session(t *testing.T, user string, p wire.Subprotocol) *raw {
	t.Helper()
	r, status := h.send(t, h.hail(t, user, p))
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", status)
	}
	return r
}

// closedWith reads to the end, and returns the code of the close frame.
func (r *raw) closedWith() (wire.CloseCode, error) {
	frames := wire.Reassembler{Limit: 16 << 20}
	all, ended := io.ReadAll(r.in) // that it ended with a reset says nothing
	for {
		f, n, err := frames.Next(all)
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, fmt.Errorf("no close frame: %v", ended)
		case f.Opcode == wire.OpClose:
			code, _, err := wire.ParseClose(f.Payload)
			return code, err
		}
		all = all[n:]
	}
}

func (h *hostile) handshakes(t *testing.T) {
	strange, _, err := auth.LoadOrCreateDevelopmentKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ours, _, err := auth.LoadOrCreateDevelopmentKey(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(k *auth.Key, expires time.Duration) string {
		key, err := auth.Sign(k, auth.Claims{Subject: "eve", Expires: time.Now().Add(expires)})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	set := func(field, value string) func(*hail) { return func(x *hail) { x.fields[field] = value } }
	target := func(query string) func(*hail) { return func(x *hail) { x.target = "/ws?" + query } }
	without := func(field string) func(*hail) { return func(x *hail) { delete(x.fields, field) } }
	for _, c := range []struct {
		name  string
		spoil func(*hail)
		want  int
	}{
		{"sound", func(*hail) {}, http.StatusSwitchingProtocols},
		{"no token", without("Authorization"), http.StatusUnauthorized},
		{"nonsense for a token", set("Authorization", "Bearer nonsense"), http.StatusUnauthorized},
		{"no bearer", set("Authorization", "Basic ZXZlOmV2ZQ=="), http.StatusUnauthorized},
		{"a stranger's key", set("Authorization", "Bearer "+signed(strange, time.Hour)), http.StatusUnauthorized},
		{"expired", set("Authorization", "Bearer "+signed(ours, -time.Hour)), http.StatusUnauthorized},
		{"a token in the URL", func(x *hail) {
			x.target = "/ws?token=" + strings.TrimPrefix(x.fields["Authorization"], "Bearer ")
			delete(x.fields, "Authorization")
		}, http.StatusUnauthorized},
		{"another origin", set("Origin", "https://evil.example"), http.StatusForbidden},
		{"no subprotocol", without("Sec-WebSocket-Protocol"), http.StatusBadRequest},
		{"no key", without("Sec-WebSocket-Key"), http.StatusBadRequest},
		{"an old version", set("Sec-WebSocket-Version", "8"), http.StatusUpgradeRequired},
		{"no upgrade", without("Upgrade"), http.StatusUpgradeRequired},
		{"a POST", func(x *hail) { x.method = "POST" }, http.StatusMethodNotAllowed},
		{"a device", target("device=0123456789abcdef0123456789abcdef&name=Eve%27s%20phone&platform=web"), http.StatusSwitchingProtocols},
		{"a short device", target("device=0123"), http.StatusBadRequest},
		{"a device of zeros", target("device=00000000000000000000000000000000"), http.StatusBadRequest},
		{"two devices", target("device=0123456789abcdef0123456789abcdef&device=0123456789abcdef0123456789abcdee"), http.StatusBadRequest},
		{"a device with a long name", target("device=0123456789abcdef0123456789abcdef&name=" + strings.Repeat("x", 65)), http.StatusBadRequest},
		{"a device with line ends in its name", target("device=0123456789abcdef0123456789abcdef&name=a%0Ab"), http.StatusBadRequest},
		{"a broken query", target("device=%zz"), http.StatusBadRequest},
	} {
		x := h.hail(t, "eve", wire.Binary)
		c.spoil(x)
		r, status := h.send(t, x)
		if status != c.want {
			t.Errorf("%s: status %d, want %d", c.name, status, c.want)
		}
		_ = r.Close()
	}
}

// A page can not see the status of a failed handshake, so it is told by a code.
func (h *hostile) badBrowserToken(t *testing.T) {
	x := h.hail(t, "eve", wire.JSON)
	delete(x.fields, "Authorization")
	x.fields["Sec-WebSocket-Protocol"] += ", " + wire.TokenSubprotocolPrefix + "nonsense"
	r, status := h.send(t, x)
	if code, err := r.closedWith(); status != http.StatusSwitchingProtocols || code != wire.CloseBadToken {
		t.Errorf("status %d, then %v (%v)", status, code, err)
	}
}

// frame is a frame of a client.
func frame(op wire.Opcode, payload []byte) []byte {
	h := wire.Header{Fin: true, Opcode: op, Masked: true, Key: [4]byte{1, 2, 3, 4}, Length: len(payload)}
	b := append(wire.AppendHeader(nil, h), payload...)
	wire.Mask(b[len(b)-len(payload):], h.Key)
	return b
}

func (h *hostile) frames(t *testing.T) {
	spoilt := func(at int, bits byte) []byte {
		b := frame(wire.OpBinary, []byte("x"))
		b[at] ^= bits
		return b
	}
	requests := func(n int) (b []byte) {
		for range n {
			b = wire.AppendRequest(b, wire.Binary, &wire.Request{Sync: &wire.Sync{}})
		}
		return b
	}
	for _, c := range []struct {
		name  string
		p     wire.Subprotocol
		bytes []byte
		want  wire.CloseCode
	}{
		{"not masked", wire.Binary, []byte{0x82, 1, 'x'}, wire.CloseProtocol},
		{"reserved bits", wire.Binary, spoilt(0, 0x40), wire.CloseProtocol},
		{"an unknown opcode", wire.Binary, spoilt(0, 0x02^0x07), wire.CloseProtocol},
		{"a rest without a beginning", wire.Binary, frame(wire.OpContinuation, []byte("x")), wire.CloseProtocol},
		{"a ping in pieces", wire.Binary, append([]byte{0x09}, frame(wire.OpPing, nil)[1:]...), wire.CloseProtocol},
		{"a long ping", wire.Binary, frame(wire.OpPing, make([]byte, 126)), wire.CloseProtocol},
		{"too large, by its header alone", wire.Binary, wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: wire.OpBinary, Masked: true, Length: 1 << 30}), wire.CloseTooLarge},
		{"text in the binary subprotocol", wire.Binary, frame(wire.OpText, []byte("{}")), wire.CloseUnsupported},
		{"no requests", wire.Binary, frame(wire.OpBinary, []byte("\xff\xff\xff\xff")), wire.CloseBadMessage},
		{"too many requests in one", wire.Binary, frame(wire.OpBinary, requests(wire.RequestsPerFrameMax+1)), wire.CloseBadMessage},
		{"no JSON", wire.JSON, frame(wire.OpText, []byte("hello")), wire.CloseBadMessage},
		{"JSON that goes deep", wire.JSON, frame(wire.OpText, []byte(strings.Repeat(`{"send":`, 5000))), wire.CloseBadMessage},
		{"no UTF-8", wire.JSON, frame(wire.OpText, []byte("\xff\xfe")), wire.CloseNotUTF8},
	} {
		r := h.session(t, "eve", c.p)
		if _, err := r.Write(c.bytes); err != nil {
			t.Fatal(err)
		}
		if code, err := r.closedWith(); code != c.want {
			t.Errorf("%s: closed with %v (%v), want %v", c.name, code, err, c.want)
		}
		_ = r.Close()
	}
}

// What makes no sense, or is not for who asks, is refused, and the session lives.
func (h *hostile) requests(t *testing.T) {
	eve, mallory := openLine(t, h.s, h.dir, "eve", wire.Binary), openLine(t, h.s, h.dir, "mallory", wire.JSON)
	openLine(t, h.s, h.dir, "ann", wire.Binary)
	theirs := mallory.direct("ann")
	mine := eve.direct("mallory")
	nowhere := parley.ConversationID{1, 2, 3}
	many, long := slices.Repeat([]string{"ann"}, 201), strings.Repeat("x", 600)
	nobodys := wire.Audience(7)
	for _, c := range []struct {
		name string
		q    *wire.Request
		want parley.Code
	}{
		{"send to an unknown conversation", draft(nowhere, 1, 1, "x"), parley.NotMember},
		{"send to a conversation of others", draft(theirs, 1, 1, "x"), parley.NotMember},
		{"read a conversation of others", &wire.Request{History: &wire.History{Conversation: theirs[:]}}, parley.NotMember},
		{"look at a conversation of others", &wire.Request{State: &wire.GetState{Conversation: theirs[:]}}, parley.NotMember},
		{"list the members of others", &wire.Request{Members: &wire.ListMembers{Conversation: theirs[:]}}, parley.NotMember},
		{"mark a conversation of others", &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: theirs[:], Read: 1}}}}, parley.NotMember},
		{"add to a direct conversation", &wire.Request{ChangeMembers: &wire.ChangeMembers{Conversation: mine[:], Add: []string{"ann"}}}, parley.NotAllowed},
		{"talk to nobody", &wire.Request{Create: &wire.Create{Peer: "nobody"}}, parley.UnknownUser},
		{"too large", draft(mine, eve.conn.Welcome().Stream, 1, tooLarge), parley.TooLarge},
		{"no number", draft(mine, eve.conn.Welcome().Stream, 0, "x"), parley.BadRequest},
		{"a gap", draft(mine, eve.conn.Welcome().Stream, 7, "x"), parley.RetryInOrder},
		{"rename a conversation of others", &wire.Request{Rename: &wire.Rename{Conversation: theirs[:], Title: "x"}}, parley.NotMember},
		{"rename a direct conversation", &wire.Request{Rename: &wire.Rename{Conversation: mine[:], Title: "x"}}, parley.NotAllowed},
		{"watch a conversation of others", &wire.Request{Watch: &wire.Watch{Conversations: [][]byte{theirs[:]}}}, parley.NotMember},
		{"watch too many", &wire.Request{Watch: &wire.Watch{Conversations: slices.Repeat([][]byte{mine[:]}, 9)}}, parley.BadRequest},
		{"type in a conversation of others", &wire.Request{Typing: &wire.Typing{Conversation: theirs[:], Active: true}}, parley.NotMember},
		{"ask after too many", &wire.Request{Presence: &wire.GetPresence{Users: many}}, parley.BadRequest},
		{"ask for too many profiles", &wire.Request{Profiles: &wire.GetProfiles{Users: many}}, parley.BadRequest},
		{"a long name", &wire.Request{SetProfile: &wire.SetProfile{Name: &long}}, parley.BadRequest},
		{"a long picture", &wire.Request{SetProfile: &wire.SetProfile{Picture: &long}}, parley.BadRequest},
		{"an audience that is not there", &wire.Request{SetProfile: &wire.SetProfile{LastSeenTo: &nobodys}}, parley.BadRequest},
		{"shut out a device of nobody", &wire.Request{RevokeDevice: &wire.RevokeDevice{Device: nowhere[:]}}, parley.BadRequest},
		{"a system message", &wire.Request{Send: &wire.Send{Conversation: mine[:], Stream: eve.conn.Welcome().Stream, Number: 1, Kind: wire.Kind_KIND_SYSTEM, Data: []byte("x")}}, parley.BadRequest},
	} {
		if m := eve.ask(c.q); parley.Code(m.Error.GetCode()) != c.want {
			t.Errorf("%s: %v, want %v", c.name, m, c.want)
		}
	}
	eve.hidesFrom(mallory)
	if seq := eve.send(mine, 1, "a good one"); seq != 1 {
		t.Errorf("the first message has sequence %d", seq)
	}
}

// hidesFrom holds who shows his presence to nobody to it, whoever asks.
func (l *line) hidesFrom(other *line) {
	l.t.Helper()
	nobody := wire.Audience_AUDIENCE_NOBODY
	if m := l.ask(&wire.Request{SetProfile: &wire.SetProfile{LastSeenTo: &nobody}}); m.Profiles == nil {
		l.t.Fatal(m)
	}
	m := other.ask(&wire.Request{Presence: &wire.GetPresence{Users: []string{l.conn.Welcome().User, "nobody"}}})
	for _, p := range m.Presences.GetPresences() {
		if p.Online || p.LastSeen != 0 || p.User != "nobody" && !p.Hidden {
			l.t.Errorf("who shows himself to nobody is seen: %v", p)
		}
	}
	if n := len(m.Presences.GetPresences()); n == 0 {
		l.t.Errorf("no presence in %v", m)
	}
}

func (h *hostile) tooManySessions(t *testing.T) {
	var open []*raw
	for {
		r, status := h.send(t, h.hail(t, "many", wire.Binary))
		if status != http.StatusSwitchingProtocols {
			if status != http.StatusTooManyRequests || len(open) != 16 {
				t.Errorf("status %d after %d sessions", status, len(open))
			}
			break
		}
		open = append(open, r)
	}
	for _, r := range open {
		_ = r.Close()
	}
}

// flood writes requests as fast as it can, and reads the answers, which it does
// not heed.
func (h *hostile) flood(t *testing.T) {
	r := h.session(t, "eve", wire.Binary)
	var payload []byte
	for range wire.RequestsPerFrameMax {
		payload = wire.AppendRequest(payload, wire.Binary, &wire.Request{Id: 1, State: &wire.GetState{Conversation: make([]byte, 16)}})
	}
	b := frame(wire.OpBinary, payload)
	written := make(chan int)
	go func() {
		n := 0
		for {
			if _, err := r.Write(b); err != nil {
				break
			}
			n += wire.RequestsPerFrameMax
		}
		written <- n
	}()
	code, err := r.closedWith()
	_ = r.Close()
	if n := <-written; code != wire.CloseTooManyRequests {
		t.Errorf("after %d requests: closed with %v (%v)", n, code, err)
	}
}

// neverReads asks for pages and takes none. Who reads at last, in time, finds
// the code behind the pages.
func (h *hostile) neverReads(t *testing.T) {
	l := openLine(t, h.s, h.dir, "sloth", wire.Binary)
	openLine(t, h.s, h.dir, "ann", wire.Binary)
	room := l.direct("ann")
	for n := range uint32(200) {
		l.send(room, n+1, strings.Repeat("x", 1<<10))
	}
	var ask []byte
	for range 32 {
		ask = wire.AppendRequest(ask, wire.Binary, &wire.Request{Id: 1, History: &wire.History{Conversation: room[:], Backward: true}})
	}
	b := frame(wire.OpBinary, ask)
	for attempt := 1; ; attempt++ {
		before, err := h.s.metric("parley_gateway_closed_slow_replies_total")
		if err != nil {
			t.Fatal(err)
		}
		r := h.session(t, "sloth", wire.Binary)
		eventually(t, patience, "the server gives up", func() bool {
			now, err := h.s.metric("parley_gateway_closed_slow_replies_total")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = r.Write(b) // it may be closed by now
			return now > before
		})
		code, err := r.closedWith()
		_ = r.Close()
		switch {
		case code == wire.CloseSlow:
			return
		case code != 0 || attempt == 5: // the server waits a few seconds only
			t.Fatalf("closed with %v (%v)", code, err)
		}
	}
}

// bystanders are two who talk while others do harm.
type bystanders struct {
	stop    chan struct{}
	ended   chan error
	sent    int
	slowest time.Duration
}

func (h *hostile) bystanders(t *testing.T) *bystanders {
	ann, bob := openLine(t, h.s, h.dir, "good ann", wire.Binary), openLine(t, h.s, h.dir, "good bob", wire.JSON)
	room := ann.direct("good bob")
	b := &bystanders{stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { b.ended <- b.talk(ann.conn, bob, room) }()
	return b
}

func (b *bystanders) talk(ann *client.Conn, bob *line, room parley.ConversationID) error {
	heard := &line{conn: ann}
	for n := uint32(1); ; n++ {
		select {
		case <-b.stop:
			return nil
		case <-time.After(5 * time.Millisecond):
		}
		begun := time.Now()
		q := draft(room, ann.Welcome().Stream, n, fmt.Sprint(n))
		q.Id = 1000 + n
		if err := ann.Write(q); err != nil {
			return err
		}
		m, err := heard.read(func(m *wire.ServerMessage) bool { return m.ReplyTo == q.Id })
		if err != nil || m.Sent.GetSeq() != uint64(n) {
			return fmt.Errorf("the answer to message %d is %v (%v)", n, m, err)
		}
		m, err = bob.read(func(m *wire.ServerMessage) bool { return m.Message != nil })
		if err != nil || m.Message.Seq != uint64(n) || m.Message.Text != fmt.Sprint(n) || !bytes.Equal(m.Message.Conversation, room[:]) {
			return fmt.Errorf("instead of message %d came %v (%v)", n, m, err)
		}
		b.sent, b.slowest = int(n), max(b.slowest, time.Since(begun))
	}
}

func (b *bystanders) end() (sent int, slowest time.Duration, err error) {
	close(b.stop)
	err = <-b.ended
	if b.sent == 0 && err == nil {
		err = fmt.Errorf("nothing was sent")
	}
	return b.sent, b.slowest, err
}
