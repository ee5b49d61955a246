package chat

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// batches is a client of batches: each holds sends to many direct
// conversations, and marks for what their peers sent before.
type batches struct {
	t     testing.TB
	s     *Service
	b     *Batch
	done  chan struct{}
	users []Login
	rooms []parley.ConversationID
	next  []parley.Number
	turn  int
	draft parley.Draft
}

const batchRooms = 256

func newBatches(t testing.TB, s *Service) *batches {
	x := &batches{t: t, s: s, done: make(chan struct{}, 1), next: make([]parley.Number, batchRooms)}
	x.b = s.NewBatch(func(*Batch) { x.done <- struct{}{} })
	for i := range batchRooms + 1 {
		l, err := s.Login(t.Context(), parley.DefaultTenant, fmt.Sprintf("user-%d", i), Device{})
		if err != nil {
			t.Fatal(err)
		}
		x.users = append(x.users, l)
	}
	for i := range batchRooms {
		c, err := s.CreateDirect(t.Context(), x.users[i].Identity, x.users[i+1].User)
		if err != nil {
			t.Fatal(err)
		}
		x.rooms = append(x.rooms, c)
	}
	x.draft = parley.Draft{Kind: parley.KindText, Body: make([]byte, 50)}
	return x
}

// run takes 64 sends and 64 marks through the log.
func (x *batches) run() {
	x.b.Reset()
	for range 64 {
		x.turn = (x.turn + 1) % batchRooms
		x.next[x.turn]++
		x.draft.Conversation, x.draft.Stream, x.draft.Number = x.rooms[x.turn], x.users[x.turn].Stream, x.next[x.turn]
		if _, err := x.b.Send(x.users[x.turn].Identity, &x.draft); err != nil {
			x.t.Fatal(err)
		}
		a := acknowledgement(x.rooms[x.turn], 0, parley.Seq(x.next[x.turn]-1)) // all but what this batch sends
		if _, err := x.b.Acknowledge(x.users[x.turn+1].Identity, a); err != nil {
			x.t.Fatal(err)
		}
	}
	insist(x.t, x.b.Append)
	<-x.done
	if err := x.b.Err(); err != nil {
		x.t.Fatal(err)
	}
	for i := range x.b.Len() {
		if o := x.b.Outcome(i); o.Code != parley.OK {
			x.t.Fatalf("outcome %d: %+v", i, o)
		}
	}
}

// From what was decoded to what is answered nothing is allocated for a message:
// what is (blocks of the head's side array) is shared by thousands.
func TestBatchAllocates(t *testing.T) {
	s, err := Open(vfs.Default, t.TempDir(), testOptions(Options{
		Deliverer: &counter{}, Engine: engine.Options{HeadSize: 64 << 20, Partitions: 16},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	x := newBatches(t, s)
	for range batchRooms {
		x.run()
	}
	n := testing.AllocsPerRun(200, x.run)
	t.Logf("%v allocations for a batch of 64 sends and 64 marks", n)
	if n > 1 && !underRace {
		t.Errorf("%v allocations for a batch of 64 sends and 64 marks, want at most 1", n)
	}
}

// counter is a Deliverer that looks at what it is told.
type counter struct{ n int }

func (c *counter) Delivered() {}

func (c *counter) Deliver(told []Told) {
	for i := range told {
		c.n += len(told[i].To) + len(told[i].Message.Body)
	}
}

func BenchmarkBatch(b *testing.B) {
	s, err := Open(vfs.Default, b.TempDir(), testOptions(Options{Engine: engine.Options{Partitions: 256, HeadSize: 64 << 20}}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	x := newBatches(b, s)
	b.ReportAllocs()
	for b.Loop() {
		x.run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/msg")
}

func BenchmarkSubject(b *testing.B) {
	w := open(b, Options{})
	u := w.user("ann")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := w.Subject(u.User); !ok {
			b.Fatal("gone")
		}
	}
}

// A batch is answered item by item, in the order in which they were added.
func TestBatchAnswersEach(t *testing.T) {
	w := open(t, Options{BodyMax: 100})
	u := w.users(3)
	c := w.direct(u[0], u[1])
	w.say(u[1], c, "one")
	done := make(chan struct{}, 1)
	b := w.NewBatch(func(*Batch) { done <- struct{}{} })
	send := func(from Login, n parley.Number, body string) (int, error) {
		d := parley.Draft{Conversation: c, Stream: from.Stream, Number: n, Kind: parley.KindText, Body: []byte(body)}
		at, err := b.Send(from.Identity, &d)
		d.Body[0] = '?' // the batch has its own
		return at, err
	}
	for range 2 { // used again, it answers as a new one
		b.Reset()
		first, _ := send(u[0], 1, "two")
		_, err := send(u[0], 2, string(make([]byte, 101)))
		want(t, err, parley.TooLarge)
		skipped, _ := send(u[0], 9, "not in order")
		_, err = send(u[2], 1, "stranger")
		want(t, err, parley.NotMember)
		read, err := b.Acknowledge(u[0].Identity, acknowledgement(c, 0, 1))
		want(t, err, parley.OK)
		_, err = b.Acknowledge(u[2].Identity, acknowledgement(c, 0, 1))
		want(t, err, parley.NotMember)
		last, _ := send(u[0], 2, "three")
		if b.Len() != 4 {
			t.Fatalf("%d items, want 4", b.Len())
		}
		want(t, b.Append(), parley.OK)
		<-done
		if d := b.Draft(last); string(d.Body) != "three" || d.Number != 2 || d.Conversation != c || d.Stream != u[0].Stream || d.Kind != parley.KindText {
			t.Errorf("draft %+v", d)
		}
		if d := b.Draft(read); d.Number != 0 {
			t.Errorf("draft of a mark %+v", d)
		}
		if o := b.Outcome(first); o.Code != parley.OK || o.At == 0 || o.Version == 0 {
			t.Errorf("first: %+v", o)
		}
		if o := b.Outcome(skipped); o.Code != parley.RetryInOrder || o.Expected != 2 && o.Expected != 3 {
			t.Errorf("skipped: %+v", o)
		}
		if o := b.Outcome(read); o.Code != parley.OK || o.Version == 0 {
			t.Errorf("read: %+v", o)
		}
		if o := b.Outcome(last); o.Code != parley.OK || o.Seq != 3 {
			t.Errorf("last: %+v", o)
		}
	}
	if b.Outcome(0).Seq != 0 || !b.Outcome(0).Repeat {
		t.Errorf("an old repeat: %+v", b.Outcome(0))
	}
	r, err := w.Repeated(t.Context(), u[0].Identity, ptr(b.Draft(0)))
	if err != nil || r.Seq != 2 || r.Version != 0 {
		t.Errorf("its receipt: %+v, %v", r, err)
	}
	if st := w.state(u[1], c); st.Last != 3 || st.Unread() != 2 {
		t.Errorf("last %d, unread %d", st.Last, st.Unread())
	}
}

func ptr[T any](v T) *T { return &v }

// Marks that are no news do not go to the log, and are answered all the same.
func TestOldMarksCostNothing(t *testing.T) {
	w := open(t, Options{FanoutMax: 3})
	u := w.users(4)
	c := w.direct(u[0], u[1])
	w.say(u[0], c, "one")
	w.mark(u[1], c, 1, 1)
	large := w.group(u[0], u[1:]...)
	w.say(u[0], large, "one")
	before := w.Engine().Stats().Applied
	called := 0
	b := w.NewBatch(func(*Batch) { called++ })
	for _, a := range []Acknowledgement{
		acknowledgement(c, 0, 1), acknowledgement(c, 1, 0), acknowledgement(c, 99, 99),
		acknowledgement(large, 2, 0), // not kept of a large group
	} {
		if _, err := b.Acknowledge(u[1].Identity, a); err != nil {
			t.Fatal(err)
		}
		w.check(w.Acknowledge(t.Context(), u[1].Identity, a))
	}
	w.check(b.Append())
	if called != 1 {
		t.Fatalf("done was called %d times", called)
	}
	for i := range b.Len() {
		if o := b.Outcome(i); o.Code != parley.OK || !o.Repeat || o.Version == 0 {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
	if now := w.Engine().Stats().Applied; now != before {
		t.Errorf("%d commands were applied", now-before)
	}
	b.Reset()
	want(t, b.Append(), parley.BadRequest)
}

// A batch is bounded, and does not keep what a large one took.
func TestBatchIsBounded(t *testing.T) {
	w := open(t, Options{Engine: engine.Options{HeadSize: 16 << 20}})
	u := w.users(2)
	c := w.direct(u[0], u[1])
	done := make(chan struct{}, 1)
	b := w.NewBatch(func(*Batch) { done <- struct{}{} })
	var err error
	d := parley.Draft{Conversation: c, Stream: u[0].Stream, Kind: parley.KindText, Body: make([]byte, 50<<10)}
	for err == nil {
		d.Number++
		_, err = b.Send(u[0].Identity, &d)
	}
	want(t, err, parley.Overloaded)
	if n := b.Len(); n != batchBytesMax/(sendHeaderSize+len(d.Body)) {
		t.Errorf("%d sends in a batch", n)
	}
	w.check(b.Append())
	<-done
	if o := b.Outcome(b.Len() - 1); o.Code != parley.OK || int(o.Seq) != b.Len() {
		t.Errorf("the last: %+v", o)
	}
	b.Reset()
	if cap(b.bodies) > keptBytesMax {
		t.Errorf("%d bytes are kept", cap(b.bodies))
	}
}

// What memory does not know is left to Service.Acknowledge.
func TestFactsFromTheLog(t *testing.T) {
	w := open(t, Options{})
	u := w.users(3)
	c := w.group(u[0], u[1:]...)
	for i := range 10 {
		w.say(u[i%3], c, "x")
		if i == 4 {
			w.check(w.SetRole(t.Context(), u[0].Identity, c, u[1].User, parley.RoleAdmin))
		}
	}
	b := w.NewBatch(func(*Batch) {})
	if _, err := b.Acknowledge(u[0].Identity, acknowledgement(c, 0, 5)); err != nil {
		t.Errorf("messages in the head: %v", err)
	}
	w.flush()
	if _, err := b.Acknowledge(u[0].Identity, acknowledgement(c, 0, 5)); !errors.Is(err, ErrFacts) {
		t.Errorf("messages in a segment: %v, want ErrFacts", err)
	}
	if b.Len() != 1 {
		t.Errorf("%d items, want 1", b.Len())
	}
	// Sequence 1 is the making, 7 the role; 2, 5, 9 and 12 are of user 0.
	for _, at := range []struct {
		read parley.Seq
		want parley.Counts
	}{
		{2, parley.Counts{Ordinal: 10, ReadOrdinal: 1, Own: 4, OwnAtRead: 1}},
		{5, parley.Counts{Ordinal: 10, ReadOrdinal: 4, Own: 4, OwnAtRead: 2}},
		{7, parley.Counts{Ordinal: 10, ReadOrdinal: 5, Own: 4, OwnAtRead: 2}},
		{8, parley.Counts{Ordinal: 10, ReadOrdinal: 6, Own: 4, OwnAtRead: 2}},
		{12, parley.Counts{Ordinal: 10, ReadOrdinal: 10, Own: 4, OwnAtRead: 4}},
	} {
		w.mark(u[0], c, 0, at.read)
		if got := w.state(u[0], c).Counts; got != at.want {
			t.Errorf("read %d: %+v, want %+v", at.read, got, at.want)
		}
	}
}

// recount counts unread from the messages that a user can see.
func (w *world) recount(u Login, c parley.ConversationID) (n uint64) {
	w.t.Helper()
	st := w.state(u, c)
	for _, it := range w.history(u, c) {
		m := &it.Message
		if it.Withheld == 0 && m.Seq > st.Marks.Read && m.Kind.Counts() && m.From != u.User {
			n++
		}
	}
	return n
}
