package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/internal/leak"
)

// TestMain fails when a test has left a goroutine of ours, or of the catalogue,
// behind.
func TestMain(m *testing.M) { leak.Main(m) }

// setting is a number from the environment.
func setting(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}

// clock runs a millisecond with each look, and jumps where a test says so.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time       { return time.UnixMicro(c.micros.Add(1000)) }
func (c *clock) pass(d time.Duration) { c.micros.Add(d.Microseconds()) }

// world is an open service with its users, driven by a test.
type world struct {
	t     testing.TB
	fs    vfs.FS
	opts  Options
	clock *clock
	*Service
	sent map[sender]parley.Number // the newest number of each outbox
}

type sender struct {
	stream       parley.StreamID
	conversation parley.ConversationID
}

func testOptions(opts Options) Options {
	e := &opts.Engine
	if e.Partitions == 0 {
		e.Partitions = 3
	}
	if e.HeadSize == 0 {
		e.HeadSize = 1 << 20
	}
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// open opens a service in memory, closed at the end of the test.
func open(t testing.TB, opts Options) *world {
	t.Helper()
	w := &world{t: t, fs: vfs.NewMem(), opts: testOptions(opts), clock: newClock(), sent: make(map[sender]parley.Number)}
	if w.opts.Engine.Now == nil {
		w.opts.Engine.Now = w.clock.now
	}
	w.start()
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	s, err := Open(w.fs, "data", w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

// restart closes the service and opens it again; with log, everything is
// replayed that was not flushed before, else nothing is.
func (w *world) restart() {
	w.t.Helper()
	w.check(w.Close())
	w.start()
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) flush() {
	w.t.Helper()
	w.check(w.Engine().Checkpoint(w.t.Context()))
}

func (w *world) user(subject string) Login {
	w.t.Helper()
	l, err := w.Login(w.t.Context(), parley.DefaultTenant, subject, Device{})
	w.check(err)
	return l
}

func (w *world) users(n int) []Login {
	w.t.Helper()
	all := make([]Login, n)
	for i := range all {
		all[i] = w.user(fmt.Sprintf("user-%d", i))
	}
	return all
}

func (w *world) direct(a, b Login) parley.ConversationID {
	w.t.Helper()
	c, err := w.CreateDirect(w.t.Context(), a.Identity, b.User)
	w.check(err)
	return c
}

func (w *world) group(owner Login, members ...Login) parley.ConversationID {
	w.t.Helper()
	c, err := w.CreateGroup(w.t.Context(), owner.Identity, "group", ids(members))
	w.check(err)
	return c
}

func ids(users []Login) []parley.UserID {
	out := make([]parley.UserID, len(users))
	for i := range users {
		out[i] = users[i].User
	}
	return out
}

// draft is the next message of a user's outbox.
func (w *world) draft(from Login, c parley.ConversationID, body string) parley.Draft {
	return parley.Draft{
		Conversation: c, Stream: from.Stream, Number: w.sent[sender{from.Stream, c}] + 1,
		Kind: parley.KindText, Body: []byte(body),
	}
}

// say sends a message that must be accepted.
func (w *world) say(from Login, c parley.ConversationID, body string) parley.Receipt {
	w.t.Helper()
	var r parley.Receipt
	insist(w.t, func() (err error) {
		r, err = w.Send(w.t.Context(), from.Identity, w.draft(from, c, body))
		return err
	})
	w.sent[sender{from.Stream, c}]++
	return r
}

func (w *world) mark(u Login, c parley.ConversationID, delivered, read parley.Seq) {
	w.t.Helper()
	w.check(w.Acknowledge(w.t.Context(), u.Identity, acknowledgement(c, delivered, read)))
}

func acknowledgement(c parley.ConversationID, delivered, read parley.Seq) Acknowledgement {
	return Acknowledgement{Conversation: c, Watermarks: parley.Watermarks{Delivered: delivered, Read: read}}
}

func (w *world) state(u Login, c parley.ConversationID) State {
	w.t.Helper()
	st, err := w.State(u.Identity, c)
	w.check(err)
	return st
}

// history reads all that a user may see, page by page.
func (w *world) history(u Login, c parley.ConversationID) []Item {
	w.t.Helper()
	var all []Item
	for next := parley.Seq(1); ; {
		p, err := w.History(w.t.Context(), u.Identity, c, parley.SeqRange{From: next, To: 1 << 60}, false)
		w.check(err)
		if p.Range.Empty() {
			return all
		}
		all = append(all, p.Items...)
		next = p.Range.To + 1
	}
}

// want fails the test unless the error matches the code.
func want(t testing.TB, err error, code parley.Code) {
	t.Helper()
	if code == parley.OK && err != nil || code != parley.OK && !errors.Is(err, code) {
		t.Errorf("error %v, want %v", err, code)
	}
}

// insist tries while the service is overloaded.
func insist(t testing.TB, try func() error) {
	t.Helper()
	for {
		err := try()
		if err == nil {
			return
		}
		if !errors.Is(err, parley.Overloaded) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// raw applies a command without the service's checks.
func (w *world) raw(c engine.Command) engine.Result {
	w.t.Helper()
	c.Version = commandVersion
	r, err := w.Engine().AppendWait(context.Background(), c)
	w.check(err)
	return r[0]
}
