package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// model is a server of one direct conversation that keeps the protocol's rules
// and does all the harm that they allow: it cuts connections, loses pushes and
// answers, refuses at random, forgets streams, and goes on with the bytes of
// connections that are long gone.
type model struct {
	*server
	wg sync.WaitGroup

	mu        sync.Mutex // guards below
	r         *rand.Rand
	calm      bool // no more harm
	log       []*wire.Message
	members   map[string]*modelMember
	sessions  map[*modelSession]bool
	refusing  map[string]bool // texts, from their first refusal on
	version   uint64
	birth     uint64
	late      int // sends that were taken from connections that were gone
	refused   int
	forgotten int
	renewed   int // sessions that were left for another token
}

type modelMember struct {
	delivered, read uint64
	streams         []modelStream // the longest unused first
	forgotten       uint64        // birth
}

type modelStream struct {
	id   uint64
	last uint32
}

type modelSession struct {
	*remote
	user   string
	stream uint64 // sent with last
	pushed uint64
	gone   bool
	warned bool // that its token expires
}

const modelStreamsMax = 2

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		server: newServer(t), r: rand.New(rand.NewPCG(seed, 0)), version: 1,
		members:  map[string]*modelMember{"ann": {}, "bob": {}},
		sessions: make(map[*modelSession]bool), refusing: make(map[string]bool),
	}
	m.wg.Go(m.run)
	return m
}

func (m *model) run() {
	for e := range m.server.sessions {
		if e == nil {
			return
		}
		user, _, _ := strings.Cut(strings.TrimPrefix(e.token, "Bearer "), " ")
		s := &modelSession{remote: e, user: user}
		m.mu.Lock()
		m.birth++
		m.sessions[s] = true
		s.push(&wire.ServerMessage{Welcome: &wire.Welcome{User: s.user, Stream: m.birth<<32 | 7, Incarnation: 1, RequestsMax: 1024}})
		m.mu.Unlock()
		m.wg.Go(func() { m.serve(s) })
	}
}

// serve handles the requests of one connection, and after its end, some time
// later, those that were still in its buffers.
func (m *model) serve(s *modelSession) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case q := <-s.requests:
			m.mu.Lock()
			m.handle(s, q)
			m.mu.Unlock()
		case <-tick.C:
			m.mu.Lock()
			if !s.gone {
				s.push(&wire.ServerMessage{Check: &wire.Check{Pushes: s.pushed}})
				if !m.calm && m.r.IntN(20) == 0 {
					m.drop(s)
				} else if !m.calm && m.r.IntN(10) == 0 {
					s.warned = true
					s.push(&wire.ServerMessage{TokenExpiring: &wire.TokenExpiring{ExpiresInMs: 60_000}})
				} else if !m.calm && m.r.IntN(20) == 0 {
					s.push(&wire.ServerMessage{GoingAway: &wire.GoingAway{RetryAfterMs: 5}})
				}
			}
			m.mu.Unlock()
		case <-s.ended:
			m.mu.Lock()
			if s.warned && s.closed == wire.CloseNormal {
				m.renewed++
			}
			m.drop(s)
			wait := time.Duration(m.r.IntN(30)) * time.Millisecond
			m.mu.Unlock()
			time.Sleep(wait)
			for len(s.requests) > 0 {
				m.mu.Lock()
				m.handle(s, <-s.requests)
				m.mu.Unlock()
			}
			return
		}
	}
}

// drop ends a connection. What it has sent is still handled.
func (m *model) drop(s *modelSession) {
	delete(m.sessions, s)
	if !s.gone {
		s.gone = true
		_ = s.socket.Close()
	}
}

func (m *model) reply(s *modelSession, q *wire.Request, a *wire.ServerMessage) {
	if s.gone {
		return
	}
	a.ReplyTo = q.Id
	s.push(a)
	if !m.calm && m.r.IntN(60) == 0 {
		m.drop(s)
	}
}

func (m *model) refuse(s *modelSession, q *wire.Request, code parley.Code, expected uint32) {
	m.reply(s, q, &wire.ServerMessage{Error: &wire.Error{Code: uint32(code), Expected: expected}})
}

func (m *model) handle(s *modelSession, q *wire.Request) {
	switch {
	case q.Send != nil:
		m.send(s, q)
	case q.FindSent != nil:
		if f := m.find(s.user, q.FindSent.Stream, q.FindSent.Number); f != nil {
			m.reply(s, q, &wire.ServerMessage{Sent: &wire.Sent{Seq: f.Seq, At: f.At}})
			return
		}
		m.refuse(s, q, parley.ResendUnknown, 0)
	case q.Sync != nil:
		m.reply(s, q, &wire.ServerMessage{SyncPage: &wire.SyncPage{States: []*wire.State{m.state(s.user)}, Cursor: []byte("c"), Incarnation: 1}})
	case q.State != nil:
		m.reply(s, q, &wire.ServerMessage{State: m.state(s.user)})
	case q.History != nil:
		m.reply(s, q, m.page(q.History))
	case q.Acknowledge != nil:
		m.acknowledge(s, q)
	}
}

func (m *model) send(s *modelSession, q *wire.Request) {
	s.stream = q.Send.Stream
	if m.refusing[q.Send.Text] {
		m.refuse(s, q, parley.NotAllowed, 0)
		return
	}
	if !m.calm {
		switch m.r.IntN(40) {
		case 0: // perhaps of what is stored already
			m.refused++
			m.refusing[q.Send.Text] = true
			m.refuse(s, q, parley.NotAllowed, 0)
			return
		case 1, 2:
			m.refuse(s, q, parley.Overloaded, 0)
			return
		}
	}
	code, expected := m.decide(s.user, q.Send)
	if code != parley.OK {
		m.refuse(s, q, code, expected)
		return
	}
	if f := m.find(s.user, q.Send.Stream, q.Send.Number); f != nil {
		if f.Text != q.Send.Text {
			m.t.Errorf("%d of stream %d is %q, and was %q", f.Number, f.Stream, q.Send.Text, f.Text)
		}
		m.reply(s, q, &wire.ServerMessage{Sent: &wire.Sent{Seq: f.Seq, At: f.At}})
		return
	}
	if s.gone {
		m.late++
	}
	m.version++
	seq := uint64(len(m.log) + 1)
	id := room(1)
	w := &wire.Message{
		Conversation: id[:], Seq: seq, Ordinal: seq, Version: m.version, From: s.user, Stream: q.Send.Stream, Number: q.Send.Number,
		Kind: wire.Kind_KIND_TEXT, At: int64(seq), Text: q.Send.Text,
	}
	m.log = append(m.log, w)
	m.reply(s, q, &wire.ServerMessage{Sent: &wire.Sent{Seq: seq, Version: m.version, At: int64(seq)}})
	for o := range m.sessions {
		if o.user != s.user || o.stream != q.Send.Stream {
			m.pushTo(o, &wire.ServerMessage{Message: w})
		}
	}
}

// decide is the rule of streams: each takes its numbers in order.
func (m *model) decide(user string, q *wire.Send) (parley.Code, uint32) {
	u := m.members[user]
	if !m.calm && m.r.IntN(100) == 0 {
		u.streams, u.forgotten = nil, m.birth // as if many others had been used since
	}
	for i, k := range u.streams {
		if k.id != q.Stream {
			continue
		}
		if q.Number > k.last+1 {
			return parley.RetryInOrder, k.last + 1
		}
		k.last = max(k.last, q.Number)
		u.streams = append(append(u.streams[:i:i], u.streams[i+1:]...), k)
		return parley.OK, 0
	}
	switch {
	case u.forgotten != 0 && q.Stream>>32 <= u.forgotten:
		m.forgotten++
		return parley.ResendUnknown, 0
	case q.Number != 1:
		return parley.RetryInOrder, 1
	}
	if len(u.streams) == modelStreamsMax {
		u.forgotten = max(u.forgotten, u.streams[0].id>>32)
		u.streams = u.streams[1:]
	}
	u.streams = append(u.streams, modelStream{q.Stream, 1})
	return parley.OK, 0
}

func (m *model) find(user string, stream uint64, number uint32) *wire.Message {
	for _, w := range m.log {
		if w.From == user && w.Stream == stream && w.Number == number {
			return w
		}
	}
	return nil
}

func (m *model) pushTo(s *modelSession, w *wire.ServerMessage) {
	s.pushed++
	if m.calm || m.r.IntN(8) > 0 {
		s.push(w)
	}
}

func (m *model) acknowledge(s *modelSession, q *wire.Request) {
	u, id := m.members[s.user], room(1)
	for _, k := range q.Acknowledge.Marks {
		if last := uint64(len(m.log)); k.Delivered > last || k.Read > last {
			m.t.Errorf("%s acknowledged %v of %d", s.user, k, last)
		}
		u.delivered, u.read = max(u.delivered, k.Delivered, k.Read), max(u.read, k.Read)
	}
	m.version++
	for o := range m.sessions {
		if o.user == s.user {
			m.pushTo(o, &wire.ServerMessage{State: m.state(o.user)})
		} else {
			m.pushTo(o, &wire.ServerMessage{Marks: &wire.MarksChanged{Conversation: id[:], Version: m.version, User: s.user, Delivered: u.delivered, Read: u.read}})
		}
	}
	m.reply(s, q, &wire.ServerMessage{Done: &wire.Done{}})
}

func (m *model) state(user string) *wire.State {
	id := room(1)
	u, last := m.members[user], uint64(len(m.log))
	st := &wire.State{
		Conversation: id[:], Kind: wire.ConversationKind_CONVERSATION_DIRECT, Role: wire.Role_ROLE_MEMBER, Last: last, Version: m.version,
		Changed: int64(m.version), Delivered: u.delivered, Read: u.read, Ordinal: last, ReadOrdinal: u.read,
	}
	for _, w := range m.log {
		if w.From == user {
			st.Own++
			if w.Seq <= u.read {
				st.OwnAtRead++
			}
		}
	}
	for name, o := range m.members {
		if name != user {
			st.Peer = &wire.Member{User: name, Role: wire.Role_ROLE_MEMBER, Delivered: o.delivered, Read: o.read}
		}
	}
	return st
}

func (m *model) page(h *wire.History) *wire.ServerMessage {
	last := uint64(len(m.log))
	from, to := max(h.From, 1), h.To
	if to == 0 || to > last {
		to = last
	}
	const most = 7
	if h.Backward && to >= most {
		from = max(from, to-most+1)
	} else {
		to = min(to, from+most-1)
	}
	p := &wire.Page{Conversation: h.Conversation, Last: last, Version: m.version, From: from, To: to}
	for seq := from; seq <= to; seq++ {
		p.Items = append(p.Items, &wire.Item{Message: m.log[seq-1]})
	}
	return &wire.ServerMessage{Page: p}
}

// Through all that a network, a server and crashes of the device may do, each
// draft is stored once and in order, or has failed and is not stored; and both
// devices hold in the end what the server does. PARLEY_CLIENT_SEEDS says how
// many seeds.
func TestEachDraftIsStoredOnceOrFails(t *testing.T) {
	seeds := 3
	if n, err := strconv.Atoi(os.Getenv("PARLEY_CLIENT_SEEDS")); err == nil {
		seeds = n
	}
	late, refused, forgotten, renewed := 0, 0, 0, 0
	for seed := range seeds {
		m := runModel(t, uint64(seed))
		late, refused, forgotten, renewed = late+m.late, refused+m.refused, forgotten+m.forgotten, renewed+m.renewed
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%d seeds: %d sends taken late, %d refused for good, %d of forgotten streams, %d sessions left for another token", seeds, late, refused, forgotten, renewed)
	if seeds >= 3 && (late == 0 || refused == 0 || forgotten == 0 || renewed == 0) {
		t.Errorf("the model did too little harm")
	}
}

// token is another one each time.
func token(user string) func(context.Context) (string, error) {
	n := 0
	return func(context.Context) (string, error) { n++; return fmt.Sprint(user, " ", n), nil }
}

func runModel(t *testing.T, seed uint64) *model {
	m := newModel(t, seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const each = 120
	devices, files := make([]*device, 2), make([]string, 2)
	users := []string{"ann", "bob"}
	open := func(i int) {
		o := testOptions(m.server, subprotocols[i], openFile(t, files[i]))
		o.Token, o.CatchUpMax, o.CloseWait = token(users[i]), 20, time.Millisecond
		devices[i] = start(t, o)
	}
	for i := range devices {
		files[i] = filepath.Join(t.TempDir(), "1.db")
		open(i)
	}
	ids, told := make([][]uint64, 2), []map[uint64]bool{{}, {}}
	for n := range 2 * each {
		i := r.IntN(2)
		ids[i] = append(ids[i], devices[i].send(room(1), fmt.Sprintf("%s %d", users[i], len(ids[i]))).ID)
		switch r.IntN(30) {
		case 0: // killed: the file as it is
			files[i] = kill(t, devices[i])
			devices[i].failures(told[i])
			open(i)
		case 1:
			if v, err := devices[i].Conversation(room(1)); err == nil {
				_ = devices[i].MarkRead(room(1), v.Tail)
			}
		case 2, 3:
			devices[i].Typing(room(1), n%2 == 0)
		}
		if n%5 == 0 {
			time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
		}
	}
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	for i, d := range devices {
		d.until("all drafts are settled, seed "+strconv.FormatUint(seed, 10), func() bool {
			for _, x := range d.Drafts(room(1)) {
				if x.Status == Queued {
					return false
				}
			}
			return true
		})
		m.judge(d, users[i], ids[i], told[i])
	}
	for i, d := range devices {
		m.judgeCopy(d, users[i])
		d.stop()
	}
	m.server.close()
	m.server.sessions <- nil
	m.wg.Wait()
	return m
}

// judge holds the drafts of a device against the log.
func (m *model) judge(d *device, user string, ids []uint64, told map[uint64]bool) {
	m.t.Helper()
	d.failures(told)
	// The last late bytes, and what they change, take their time. Whoever was told
	// that a draft has failed learns then that it has not.
	d.until("failed drafts are not stored", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, id := range ids {
			if x, err := d.Draft(id); err == nil && x.Status == Failed && len(m.stored(user, string(x.Body))) > 0 {
				return false
			}
		}
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	before := uint64(0)
	for n, id := range ids {
		text := fmt.Sprintf("%s %d", user, n)
		x, err := d.Draft(id)
		if err != nil {
			m.t.Errorf("%s: draft %d: %v", user, id, err)
			continue
		}
		seqs := m.stored(user, text)
		if x.Status == Failed && len(seqs) == 0 {
			continue
		}
		if len(seqs) != 1 || x.Status == Failed || x.Seq != parley.Seq(seqs[0]) {
			m.t.Errorf("%q is %v as %d, and stored as %v", text, x.Status, x.Seq, seqs)
			continue
		}
		if told[id] {
			continue // it was told to have failed before it was taken late
		}
		if seqs[0] < before {
			m.t.Errorf("%q is stored as %d, behind %d", text, seqs[0], before)
		}
		before = max(before, seqs[0])
	}
}

// failures adds the drafts that a device's events told to have failed.
func (d *device) failures(told map[uint64]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if x, ok := e.(DraftChanged); ok && x.Draft.Status == Failed {
			told[x.Draft.ID] = true
		}
	}
}

func (m *model) stored(user, text string) (seqs []uint64) {
	for _, w := range m.log {
		if w.From == user && w.Text == text {
			seqs = append(seqs, w.Seq)
		}
	}
	return seqs
}

// judgeCopy holds what a device has of the conversation against the log.
func (m *model) judgeCopy(d *device, user string) {
	m.t.Helper()
	d.until(user+" has everything", func() bool {
		m.mu.Lock()
		last := parley.Seq(len(m.log))
		unread := m.state(user)
		m.mu.Unlock()
		v, err := d.Conversation(room(1))
		want := parley.Counts{Ordinal: parley.Ordinal(unread.Ordinal), ReadOrdinal: parley.Ordinal(unread.ReadOrdinal), Own: unread.Own, OwnAtRead: unread.OwnAtRead}
		return err == nil && v.Tail == last && v.Unread() == want.Unread() && v.Confirmed.Read == v.Marks.Read
	})
	all, err := d.History(m.t.Context(), room(1), parley.SeqRange{From: 1})
	if err != nil {
		m.t.Errorf("%s: %v", user, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(all) != len(m.log) {
		m.t.Fatalf("%s holds %d messages of %d", user, len(all), len(m.log))
	}
	for i := range all {
		w := m.log[i]
		if all[i].Seq != parley.Seq(w.Seq) || all[i].From != w.From || all[i].Text() != w.Text || all[i].Number != parley.Number(w.Number) {
			m.t.Errorf("%s holds %+v, the server %v", user, all[i], w)
		}
	}
	// And what events told is in order, for as long as this process has run.
	d.mu.Lock()
	defer d.mu.Unlock()
	next := parley.Seq(0)
	for _, e := range d.events {
		x, ok := e.(Received)
		if !ok {
			continue
		}
		if next > 0 && !x.Hole.Empty() && x.Hole.From != next {
			m.t.Errorf("%s was told a hole from %d where %d was next", user, x.Hole.From, next)
		}
		if !x.Hole.Empty() {
			next = x.Hole.To + 1
		}
		for _, y := range x.Messages {
			if next > 0 && y.Seq != next {
				m.t.Errorf("%s was told %d where %d was next", user, y.Seq, next)
			}
			next = y.Seq + 1
		}
	}
}
