package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// run is one run of Chat.
type run struct {
	options ChatOptions
	id      uint64 // random, in every body
	fill    []byte // of every body
	began   time.Time

	users         []*user
	senders       []*user // those with a conversation
	conversations []conversation
	byID          map[parley.ConversationID]int32

	// The measured window; the load goes on until its end. Zero before the load.
	from, until atomic.Int64

	latencies *latencies
	late      *hdrhistogram.Histogram // by how much the harness sent too late; of the pacer
	flaws     flaws

	made       atomic.Int64 // conversations
	creating   atomic.Int64 // those under way
	dead       atomic.Int64 // connections that the server ended
	backingOff atomic.Int64 // users that were refused something

	readers sync.WaitGroup
	giveUp  context.CancelCauseFunc
}

// Chat runs the scenario of direct conversations, and judges it. It returns an
// error where no report could be made; a report of a run that went wrong says so
// by Failed.
func Chat(ctx context.Context, o ChatOptions) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o = o.withDefaults(); o.URL == "" {
		return nil, fmt.Errorf("%w: no server", ErrOptions)
	}
	r := newRun(o)
	defer r.close()
	ctx, r.giveUp = context.WithCancelCause(ctx)
	defer r.giveUp(nil)
	metrics := map[string]float64{}
	if err := r.connect(ctx, metrics); err != nil {
		return nil, err
	}
	if err := r.create(ctx, metrics); err != nil {
		return nil, err
	}
	before, after, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.drain(ctx); err != nil {
		return nil, err
	}
	if err := r.judge(ctx); err != nil {
		return nil, err
	}
	return r.report(metrics, before, after), nil
}

func newRun(o ChatOptions) *run {
	r := &run{
		options: o, id: rand.Uint64(), began: time.Now(),
		users: make([]*user, o.Users), conversations: make([]conversation, o.Conversations),
		byID:      make(map[parley.ConversationID]int32, o.Conversations),
		latencies: newLatencies(), late: newHistogram(),
	}
	random := rand.New(rand.NewPCG(o.Seed, 0xF111))
	for len(r.fill) < o.Size-bodyHead {
		r.fill = append(r.fill, byte(' '+random.IntN(95)))
	}
	for i := range r.users {
		r.users[i] = &user{run: r, index: int32(i)}
		r.users[i].random.Seed(o.Seed, uint64(i))
	}
	for i := range r.conversations {
		a, b := pair(i, o.Users)
		for side, of := range []int{a, b} {
			u := r.users[of]
			s := &r.conversations[i].sides[side]
			s.user, s.place = int32(of), int32(len(u.places))
			u.places = append(u.places, place{int32(i), uint8(side)})
		}
		r.users[a].creates = append(r.users[a].creates, int32(i))
	}
	for _, u := range r.users {
		if len(u.places) > 0 {
			r.senders = append(r.senders, u)
		}
	}
	return r
}

// pair is the i-th of all pairs of users, in an order that gives every user
// about the same number: everybody with his next, then with the one after, …
func pair(i, users int) (a, b int) {
	a = i % users
	return a, (a + 1 + i/users) % users
}

// userName is the subject of a user's token.
func userName(i int) string { return fmt.Sprintf("bench-%d", i) }

// now is the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.began) }

// loading reports whether the load still wants messages sent.
func (r *run) loading(now time.Duration) bool { return int64(now) < r.until.Load() }

// inWindow reports whether a moment is measured.
func (r *run) inWindow(at time.Duration) bool {
	return int64(at) >= r.from.Load() && int64(at) < r.until.Load()
}

// dialers is how many users log in at once.
const dialers = 16

// connect logs every user in.
func (r *run) connect(ctx context.Context, metrics map[string]float64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(r.options.Users)*50*time.Millisecond)
	defer cancel()
	token := r.options.Token
	if token == nil {
		var err error
		if token, err = devTokens(r.options.URL); err != nil {
			return err
		}
	}
	tokens := make([]string, len(r.users))
	err := r.eachUser("tokens", func(u *user) (err error) {
		tokens[u.index], err = token(ctx, userName(int(u.index)))
		return err
	})
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	start := time.Now()
	err = r.eachUser("connecting", func(u *user) error { return u.connect(ctx, tokens[u.index]) })
	if err != nil {
		return err
	}
	metrics["connects_per_s"] = float64(r.options.Users) / time.Since(start).Seconds()
	for _, u := range r.users {
		r.readers.Go(u.read)
	}
	return nil
}

// eachUser does something for every user, for a few at once, until it fails.
func (r *run) eachUser(what string, do func(*user) error) error {
	bar := newProgress(r.options.Progress, what, len(r.users))
	defer bar.end()
	var next, done atomic.Int64
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for w := range dialers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(r.users)) && errs[w] == nil; i = next.Add(1) - 1 {
				errs[w] = do(r.users[i])
				bar.set(int(done.Add(1)))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (u *user) connect(ctx context.Context, token string) error {
	encoding, _ := wire.ParseSubprotocol(u.run.options.Subprotocol) // Check knows it
	conn, err := client.Dial(ctx, u.run.options.URL, client.DialOptions{Token: token, Subprotocol: encoding})
	if err != nil {
		return fmt.Errorf("connect %s: %w", userName(int(u.index)), err)
	}
	w := conn.Welcome()
	u.conn, u.stream, u.frameMax = conn, w.Stream, int(w.FrameMax)
	u.inFlightMax = min(int(w.RequestsMax), slotsMax) / 2
	switch o := &u.run.options; {
	case o.InFlight > u.inFlightMax:
		return fmt.Errorf("in flight: the server takes at most %d requests at once, and half of them for watermarks", w.RequestsMax)
	case o.Size > int(w.BodyMax):
		return fmt.Errorf("size: the server takes at most %d bytes", w.BodyMax)
	}
	return nil
}

// create makes the conversations.
func (r *run) create(ctx context.Context, metrics map[string]float64) error {
	bar := newProgress(r.options.Progress, "creating conversations", len(r.conversations))
	defer bar.end()
	start := time.Now()
	last, moved := int64(0), time.Now()
	for r.made.Load() < int64(len(r.conversations)) {
		r.proceedAll() // whoever finds room goes on
		if err := r.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		if n := r.made.Load(); n != last {
			last, moved = n, time.Now()
		}
		if time.Since(moved) > r.options.stuckAfter {
			return fmt.Errorf("%d of %d conversations were made, and none in %v%s", last, len(r.conversations), r.options.stuckAfter, r.flaws.words())
		}
		bar.set(int(last))
	}
	metrics["creates_per_s"] = float64(len(r.conversations)) / time.Since(start).Seconds()
	r.still(func() {
		for i := range r.conversations {
			r.byID[r.conversations[i].id] = int32(i)
		}
	})
	if len(r.byID) != len(r.conversations) {
		return fmt.Errorf("%d conversations have %d ids", len(r.conversations), len(r.byID))
	}
	return nil
}

// pause waits a little, sends again what was refused, and gives up where a
// connection is gone before the load.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	if r.backingOff.Load() > 0 {
		d = min(d, backOff)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
	}
	if r.backingOff.Load() > 0 {
		r.proceedAll()
	}
	if n := r.dead.Load(); n > 0 && r.until.Load() == 0 {
		return fmt.Errorf("the server ended %d connections%s", n, r.flaws.words())
	}
	return nil
}

// proceedAll gives every user a turn.
func (r *run) proceedAll() {
	for _, u := range r.users {
		u.mu.Lock()
		u.proceed(r.now())
		u.mu.Unlock()
	}
}

// still holds every user still while f looks at both sides of conversations.
func (r *run) still(f func()) {
	for _, u := range r.users {
		u.mu.Lock()
	}
	defer func() {
		for _, u := range r.users {
			u.mu.Unlock()
		}
	}()
	f()
}

// load runs the load and returns the use of the machine at both ends of the
// measured window.
func (r *run) load(ctx context.Context) (before, after usage, err error) {
	o := &r.options
	start := r.now()
	from, until := start+o.Warmup, start+o.Warmup+o.Duration
	r.from.Store(int64(from))
	r.until.Store(int64(until))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	paced := make(chan error, 1)
	if o.Rate > 0 {
		go func() { paced <- r.pace(ctx, start) }()
	} else {
		paced <- nil
		r.proceedAll()
	}
	bar := newProgress(o.Progress, "load", int((o.Warmup + o.Duration).Milliseconds()))
	defer bar.end()
	err = r.wait(ctx, from, bar, start)
	if err == nil {
		before, err = o.Server.usage(ctx)
	}
	if err == nil {
		err = r.wait(ctx, until, bar, start)
	}
	if err == nil {
		after, err = o.Server.usage(ctx)
	}
	if err != nil {
		cancel()
	}
	return before, after, errors.Join(err, <-paced)
}

// wait returns at a moment of the run.
func (r *run) wait(ctx context.Context, until time.Duration, bar *progress, start time.Duration) error {
	for {
		left := until - r.now()
		bar.set(int((r.now() - start).Milliseconds()))
		if left <= 0 {
			return nil
		}
		if err := r.pause(ctx, min(left, 50*time.Millisecond)); err != nil {
			return err
		}
		if n := r.dead.Load(); n == int64(len(r.users)) {
			return fmt.Errorf("the server ended all connections%s", r.flaws.words())
		}
	}
}

// pace gives users their messages at the moments of the schedule.
func (r *run) pace(ctx context.Context, start time.Duration) error {
	p, err := newPacer()
	if err != nil {
		return err
	}
	defer p.close()
	s := newSchedule(r.options.Seed, r.options.Rate, len(r.senders), start)
	end := time.Duration(r.until.Load())
	for ctx.Err() == nil {
		now := r.now()
		for a, ok := s.due(now); ok && a.at < end; a, ok = s.due(now) {
			r.senders[a.user].arrive(a.at, now)
			now = r.now()
			if r.inWindow(a.at) {
				recordLatency(r.late, now-a.at)
			}
		}
		if s.next.at >= end {
			return nil
		}
		if err := p.sleep(s.next.at - r.now()); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) close() {
	for _, u := range r.users {
		if u.conn == nil {
			continue
		}
		u.mu.Lock()
		u.ended = true
		u.mu.Unlock()
		_ = u.conn.Close()
	}
	r.readers.Wait()
}
