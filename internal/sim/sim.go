package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/verify"
)

// Options say what is run.
type Options struct {
	Seed        uint64
	Generations int // power cuts; default 3
	Steps       int // of work between two; default 120
}

// Figures tell what a run did.
type Figures struct {
	Acknowledged, Repeated, Refused int
	Cuts                            int // of the power
	Opening                         int // of them: while the node was being opened
	Open, Closed, Below             int // and of the others: with records in the open head, in a closed one, below the cut
	Flushes                         uint64
}

// Add adds the figures of another run.
func (f *Figures) Add(g Figures) {
	f.Acknowledged += g.Acknowledged
	f.Repeated += g.Repeated
	f.Refused += g.Refused
	f.Cuts += g.Cuts
	f.Opening += g.Opening
	f.Open += g.Open
	f.Closed += g.Closed
	f.Below += g.Below
	f.Flushes += g.Flushes
}

const dir = "data"

// Run runs one seed. An error names the broken promise.
func Run(o Options) (f Figures, err error) {
	if o.Generations == 0 {
		o.Generations = 3
	}
	if o.Steps == 0 {
		o.Steps = 120
	}
	w := newWorld(o.Seed)
	disk := vfs.NewCrashableMem()
	for gen := range o.Generations {
		var left *vfs.MemFS
		if left, err = w.live(disk, o.Steps); err != nil {
			return w.figures, fmt.Errorf("seed %d, generation %d: %w", o.Seed, gen, err)
		}
		if err = w.judge(left); err != nil {
			return w.figures, fmt.Errorf("seed %d, after power cut %d: %w", o.Seed, gen+1, err)
		}
		disk = left
	}
	return w.figures, nil
}

// world is the clients: what they know outlives every power cut.
type world struct {
	rng     *rand.Rand
	clock   atomic.Int64 // microseconds
	figures Figures
	bodyMax int // of the node that runs

	users []parley.Identity
	rooms []*room

	engine atomic.Pointer[engine.Engine] // that runs; nil while it is being opened
	resume func()                        // has a log take proposals again; nil where it always does

	mu      sync.Mutex // guards below
	off     bool       // the power is off: nothing that comes now was told
	waiting int        // batches in flight
	quiet   sync.Cond
	err     error
}

// room is a conversation as its clients know it.
type room struct {
	id      parley.ConversationID
	direct  bool
	members []int // indexes of users who may send
	boxes   map[int]*outbox
	told    map[int]parley.Watermarks // acknowledged marks
}

// outbox is one client's sends to one conversation.
type outbox struct {
	stream parley.StreamID
	drafts []sent // number n at n-1
}

type sent struct {
	body    string
	seq     parley.Seq // once acknowledged
	refused bool
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0))}
	w.quiet.L = &w.mu
	w.clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	return w
}

// now is the simulated clock. It runs on with each look, and sometimes jumps.
func (w *world) now() time.Time { return time.UnixMicro(w.clock.Add(137)) }

func (w *world) options() chat.Options {
	w.bodyMax = []int{300, 600, 60 << 10}[w.rng.IntN(3)]
	return chat.Options{BodyMax: w.bodyMax, Engine: engine.Options{
		Partitions: 8, HeadSize: (64 << w.rng.IntN(3)) << 10, HeadsMax: 2 + w.rng.IntN(3),
		HeadRowsMax: 5 + w.rng.IntN(200), SegmentsOpenMax: 1 + w.rng.IntN(8),
		Now: w.now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}}
}

// live runs the node until the power goes and returns the disk that is left.
func (w *world) live(disk *vfs.MemFS, steps int) (*vfs.MemFS, error) {
	at := int64(1 + w.rng.IntN(1500))
	clone := vfs.CrashCloneCfg{UnsyncedDataPercent: w.rng.IntN(91), RNG: rand.New(rand.NewPCG(w.rng.Uint64(), 2))}
	var left *vfs.MemFS
	cut := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.off {
			w.off = true
			w.count()
			left = disk.CrashClone(clone)
		}
	}
	slow := []string{"", "catalogue", "wal", "segments"}[w.rng.IntN(4)]
	var ops, slowed atomic.Int64
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && ops.Add(1) == at {
			time.Sleep(time.Millisecond) // this one hangs, the others go on
			cut()
		}
		// One folder's disk may be slow, so that the others run ahead of it.
		if slow != "" && strings.Contains(op.Path, slow) && slowed.Add(1)%8 == 0 {
			time.Sleep(3 * time.Millisecond)
		}
		return nil
	}))
	w.mu.Lock()
	w.off = false
	w.mu.Unlock()
	w.engine.Store(nil)
	s, err := chat.Open(fs, dir, w.options())
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	w.engine.Store(s.Engine())
	if err := w.work(s, steps); err != nil {
		return nil, err
	}
	cut()
	w.figures.Flushes += s.Engine().Stats().Flushes
	err = s.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	return left, err
}

// count notes where the power cut lands.
func (w *world) count() {
	w.figures.Cuts++
	e := w.engine.Load()
	if e == nil {
		w.figures.Opening++
		return
	}
	st := e.Stats()
	if st.Flushes > 0 {
		w.figures.Below++
	}
	if st.HeadsWaiting > 0 {
		w.figures.Closed++
	}
	if st.Applied > 0 {
		w.figures.Open++
	}
}

// work makes the clients busy until the power is off or all is done.
func (w *world) work(s *chat.Service, steps int) error {
	if err := w.settle(s); err != nil {
		return err
	}
	for range steps {
		if w.isOff() {
			break
		}
		if w.resume != nil {
			w.resume()
		}
		if err := w.step(s); err != nil {
			return err
		}
	}
	w.wait()
	return nil
}

func (w *world) isOff() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.off
}

// wait lets everything in flight come back.
func (w *world) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.waiting > 0 {
		w.quiet.Wait()
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// settle makes what the clients need: users, conversations, and everything
// they do not know to have arrived sent again.
func (w *world) settle(s *chat.Service) error {
	ctx := context.Background()
	for len(w.users) < 6 {
		var l chat.Login
		if err := w.insist(func() (err error) {
			l, err = s.Login(ctx, parley.DefaultTenant, fmt.Sprintf("user-%d", len(w.users)), chat.Device{})
			return err
		}); err != nil {
			return fmt.Errorf("login: %w", err)
		}
		if w.isOff() {
			return nil
		}
		w.users = append(w.users, l.Identity)
	}
	for len(w.rooms) < 8 {
		r, err := w.makeRoom(ctx, s)
		if err != nil {
			return err
		}
		if w.isOff() {
			return nil
		}
		w.rooms = append(w.rooms, r)
	}
	for _, r := range w.rooms {
		for u, box := range r.boxes {
			w.resend(s, r, u, box)
		}
	}
	w.wait()
	return nil
}

func (w *world) makeRoom(ctx context.Context, s *chat.Service) (*room, error) {
	r := &room{boxes: make(map[int]*outbox), told: make(map[int]parley.Watermarks)}
	n := len(w.rooms)
	r.direct = n < 4
	r.members = []int{0, 1, 2}
	if r.direct {
		r.members = []int{n, n + 1}
	}
	err := w.insist(func() (err error) {
		if r.direct {
			r.id, err = s.CreateDirect(ctx, w.users[n], w.users[n+1].User)
			return err
		}
		r.id, err = s.CreateGroup(ctx, w.users[0], fmt.Sprintf("group %d", n), []parley.UserID{w.users[1].User, w.users[2].User})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return r, nil
}

// resend sends again what was not acknowledged, in order, and a tenth of what
// was.
func (w *world) resend(s *chat.Service, r *room, u int, box *outbox) {
	w.mu.Lock()
	var again []int
	for i, d := range box.drafts {
		if !d.refused && (d.seq == 0 || w.rng.IntN(10) == 0) {
			again = append(again, i)
		}
	}
	w.mu.Unlock()
	w.append(s, r, u, box, again)
}

// step does one thing that a client might.
func (w *world) step(s *chat.Service) error {
	ctx := context.Background()
	r := w.rooms[w.rng.IntN(len(w.rooms))]
	u := r.members[w.rng.IntN(len(r.members))]
	switch k := w.rng.IntN(100); {
	case k < 60:
		w.send(s, r, u)
	case k < 80:
		return w.acknowledge(ctx, s, r, u)
	case k < 84 && !r.direct:
		return w.regroup(ctx, s, r)
	case k < 85 && !r.direct:
		return ignoreOff(w, s.Rename(ctx, w.users[0], r.id, fmt.Sprint("title ", w.rng.IntN(3))))
	case k < 86:
		return ignoreOff(w, s.Mute(ctx, w.users[u], r.id, w.now()))
	case k < 88:
		return ignoreOff(w, s.Engine().Checkpoint(ctx))
	case k < 90:
		w.clock.Add(-int64(w.rng.IntN(60_000_000)))
	case k < 92:
		w.clock.Add(int64(w.rng.IntN(4_000_000_000)))
	case k < 96:
		w.wait()
	default:
		_, err := s.History(ctx, w.users[u], r.id, parley.SeqRange{From: 1, To: 1 << 40}, w.rng.IntN(2) == 0)
		return ignoreOff(w, err)
	}
	return nil
}

// ignoreOff forgives what a client would never have heard, a refusal that asks
// to try again, for here nobody does, and one that a removal explains whose
// acknowledgement the power cut took.
func ignoreOff(w *world, err error) error {
	if w.isOff() || passes(err) || errors.Is(err, parley.NotMember) {
		return nil
	}
	return err
}

// passes reports whether the same may be tried again.
func passes(err error) bool {
	return errors.Is(err, parley.Overloaded) || errors.Is(err, parley.Unavailable) || errors.Is(err, engine.ErrLost)
}

// insist tries until it is done or refused for good.
func (w *world) insist(try func() error) error {
	for {
		if err := try(); !passes(err) {
			return err
		}
		if w.resume != nil {
			w.resume()
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *world) send(s *chat.Service, r *room, u int) {
	box := r.boxes[u]
	if box == nil {
		box = &outbox{stream: parley.StreamID(uint64(w.now().Unix())<<32 | uint64(w.rng.Uint32()))}
		r.boxes[u] = box
	}
	var fresh []int
	w.mu.Lock()
	for range 1 + w.rng.IntN(8) {
		body := make([]byte, w.rng.IntN(min(600, w.bodyMax-20)))
		for i := range body {
			body[i] = byte('a' + w.rng.IntN(26))
		}
		fresh = append(fresh, len(box.drafts))
		box.drafts = append(box.drafts, sent{body: fmt.Sprintf("%d:%s", len(box.drafts)+1, body)})
	}
	w.mu.Unlock()
	w.append(s, r, u, box, fresh)
}

// append hands drafts over as one batch and notes what is told.
func (w *world) append(s *chat.Service, r *room, u int, box *outbox, which []int) {
	b := s.NewBatch(func(b *chat.Batch) { w.told(box, which, b) })
	for _, i := range which {
		d := &parley.Draft{
			Conversation: r.id, Stream: box.stream, Number: parley.Number(i + 1), Kind: parley.KindText,
			Body: []byte(box.drafts[i].body),
		}
		if _, err := b.Send(w.users[u], d); err != nil {
			return // no member just now; the outbox keeps it
		}
	}
	if b.Len() == 0 {
		return
	}
	w.mu.Lock()
	w.waiting++
	w.mu.Unlock()
	if err := b.Append(); err != nil {
		w.mu.Lock()
		w.waiting--
		w.figures.Refused++
		w.mu.Unlock()
	}
}

// told is what the network brings back. Once the power is off it brings
// nothing.
func (w *world) told(box *outbox, which []int, b *chat.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
	w.quiet.Broadcast()
	if w.off || b.Err() != nil {
		return
	}
	for k, i := range which {
		d, res := &box.drafts[i], b.Outcome(k)
		switch {
		case res.Code != parley.OK:
			w.figures.Refused++
		case res.Repeat && res.Seq == 0:
			w.figures.Repeated++ // whose sequence a reader would look up
		case d.seq != 0 && d.seq != res.Seq:
			w.fail("number %d was acknowledged as %d and then as %d", i+1, d.seq, res.Seq)
		default:
			d.seq = res.Seq
			w.figures.Acknowledged++
		}
	}
}

// acknowledge raises a member's marks to somewhere in the conversation.
func (w *world) acknowledge(ctx context.Context, s *chat.Service, r *room, u int) error {
	st, err := s.State(w.users[u], r.id)
	if err != nil || st.Last == 0 {
		return nil
	}
	marks := parley.Watermarks{Delivered: parley.Seq(w.rng.Uint64N(uint64(st.Last) + 1)), Read: parley.Seq(w.rng.Uint64N(uint64(st.Last) + 1))}
	err = s.Acknowledge(ctx, w.users[u], chat.Acknowledgement{Conversation: r.id, Watermarks: marks})
	if err != nil {
		return ignoreOff(w, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.off {
		old := r.told[u]
		r.told[u] = parley.Watermarks{Delivered: max(old.Delivered, marks.Delivered), Read: max(old.Read, marks.Read)}
	}
	return nil
}

// regroup adds a member to a group, or removes one who has nothing in flight.
func (w *world) regroup(ctx context.Context, s *chat.Service, r *room) error {
	u := 3 + w.rng.IntN(3)
	w.wait()
	if w.rng.IntN(2) == 0 {
		if err := s.Add(ctx, w.users[0], r.id, w.users[u].User); err != nil {
			return ignoreOff(w, err)
		}
		if w.isOff() || slices.Contains(r.members, u) {
			return nil
		}
		r.members = append(r.members, u)
		return nil
	}
	if err := s.Remove(ctx, w.users[0], r.id, w.users[u].User); err != nil && !errors.Is(err, parley.NotMember) {
		return ignoreOff(w, err)
	}
	for i, m := range r.members {
		if m == u {
			r.members = append(r.members[:i:i], r.members[i+1:]...)
		}
	}
	delete(r.told, u)
	return nil
}

// judge holds the disk that a power cut left to the promises.
func (w *world) judge(left *vfs.MemFS) error {
	report := &verify.Report{Model: verify.NewModel()}
	if _, err := left.Stat(dir + "/INCARNATION"); err == nil {
		if report, err = verify.Folder(left, dir); err != nil {
			return err
		}
	}
	if len(report.Flaws) > 0 {
		return fmt.Errorf("verify: %d flaws, the first: %s", len(report.Flaws), report.Flaws[0])
	}
	if err := w.twins(left); err != nil {
		return err
	}
	s, err := chat.Open(left, dir, w.options())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return errors.Join(w.compare(s, report.Model), s.Close())
}

// twins opens copies of a disk under different options: they must have one
// state.
func (w *world) twins(left *vfs.MemFS) error {
	var states [2][32]byte
	for i := range states {
		e, err := engine.Open(left.CrashClone(vfs.CrashCloneCfg{}), dir, &chat.Machine{}, w.options().Engine)
		if err != nil {
			return fmt.Errorf("open a copy: %w", err)
		}
		states[i] = e.Hash()
		if err := e.Close(); err != nil {
			return fmt.Errorf("close a copy: %w", err)
		}
	}
	if states[0] != states[1] {
		return fmt.Errorf("two nodes on one disk have two states")
	}
	return nil
}

// compare holds the node to the model, and both to what the clients were told.
func (w *world) compare(s *chat.Service, m *verify.Model) error {
	ctx := context.Background()
	for id, conv := range m.Conversations {
		for _, u := range w.users {
			who := conv.Members[u.User]
			if who == nil || who.Role == 0 {
				continue
			}
			st, err := s.State(u, id)
			if err != nil {
				return fmt.Errorf("%v for %v: %w", id, u.User, err)
			}
			if int(st.Last) != len(conv.Messages) || st.Unread() != conv.CountUnread(u.User) || st.Marks != (parley.Watermarks{Delivered: who.Delivered, Read: who.Read}) {
				return fmt.Errorf("%v for %v: node has last %d, unread %d, marks %v; the model %d, %d, %d/%d",
					id, u.User, st.Last, st.Unread(), st.Marks, len(conv.Messages), conv.CountUnread(u.User), who.Delivered, who.Read)
			}
		}
	}
	for _, r := range w.rooms {
		if err := w.compareRoom(ctx, s, m, r); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) compareRoom(ctx context.Context, s *chat.Service, m *verify.Model, r *room) error {
	conv := m.Conversations[r.id]
	if conv == nil {
		return fmt.Errorf("conversation %v was acknowledged and is gone", r.id)
	}
	for u, box := range r.boxes {
		for i, d := range box.drafts {
			if d.seq == 0 {
				continue
			}
			number := parley.Number(i + 1)
			if seq := conv.Find(w.users[u].User, box.stream, number); seq != d.seq {
				return fmt.Errorf("%v: number %d of user %d was acknowledged as %d and stands at %d", r.id, number, u, d.seq, seq)
			}
		}
		if n := len(box.drafts); n > 0 && box.drafts[n-1].seq > 0 {
			got, err := s.Sent(ctx, w.users[u], r.id, box.stream, parley.Number(n))
			if err != nil || got.Seq != box.drafts[n-1].seq || string(got.Body) != box.drafts[n-1].body {
				return fmt.Errorf("%v: number %d of user %d: read back as %d, %w", r.id, n, u, got.Seq, err)
			}
		}
	}
	for u, told := range r.told {
		if who := conv.Members[w.users[u].User]; who != nil && who.Role != 0 && (who.Read < told.Read || who.Delivered < told.Delivered) {
			return fmt.Errorf("%v: marks %v of user %d fell to %d/%d", r.id, told, u, who.Delivered, who.Read)
		}
	}
	return nil
}
