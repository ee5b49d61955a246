package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// LiveOptions say where people live on, and how fast. URL and Token must be set.
type LiveOptions struct {
	// URL is the server's, as ws://host:port/ws.
	URL string

	// Token gives the token of a person, by his subject, for each login.
	Token func(ctx context.Context, subject string) (string, error)

	// Pace is how many times faster than people they read, type and have ideas.
	// Default 1.
	Pace float64

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

// Live has the lively people of a world live until ctx ends, and returns when all
// are gone. Each is a device like any other. They read what comes after a while,
// answer whoever writes to them alone, put in a word in groups, and begin a
// conversation now and then; among themselves they soon fall silent. What they do
// is chosen by the world's seed.
//
// The error says who could not live on; the others did.
func Live(ctx context.Context, w World, o LiveOptions) error {
	if o.Pace <= 0 {
		o.Pace = 1
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l, err := loadLibrary()
	if err != nil {
		return err
	}
	errs := make([]error, len(w.Lively))
	var lives sync.WaitGroup
	for i, subject := range w.Lively {
		x := &life{
			o: o, world: &w, me: subject, rng: generator(w.Seed, forLife, i),
			begun: time.Now(), errands: make(map[parley.ConversationID]*errand),
		}
		x.words = performance{library: l, rng: x.rng, filled: make(map[string]string)}
		x.words.friend = func() string { return known[second].given() }
		lives.Go(func() {
			if err := x.live(ctx); err != nil {
				errs[i] = fmt.Errorf("demo: %s: %w", subject, err)
				o.Logger.Warn("one of the people has gone", "who", subject, "err", err)
			}
		})
	}
	lives.Wait()
	return errors.Join(errs...)
}

// life is one person who lives on. It belongs to the goroutine of live.
type life struct {
	o       LiveOptions
	world   *World
	me      string
	rng     *rand.Rand
	words   performance
	begun   time.Time
	c       *client.Client
	errands map[parley.ConversationID]*errand // at most one for each conversation
	idea    time.Time                         // when the next one comes
	pause   time.Duration                     // at least so long after it
}

// errand is what one is about to do in a conversation: read, then, if there is
// something to say, type, then send.
type errand struct {
	step   step
	at     time.Time // of the step, and then of the next key
	until  time.Time // when all is typed
	answer bool
	heard  string
	text   string
}

type step uint8

const (
	stepRead step = iota
	stepType
	stepSend
)

// One has ideas ever more rarely while nobody answers but those who live on: a
// world that is left alone for days does not fill a disk.
const (
	pauseMin = 100 * time.Second
	pauseMax = 2 * time.Hour
)

// before is how old a message may be that one takes for new.
const before = time.Minute

func (x *life) live(ctx context.Context) (err error) {
	store := client.NewMemoryStore() // with the device that the person has had all along
	if err := store.Apply(&client.Changes{Meta: &client.Meta{Device: deviceID(x.world.Seed, x.me, 0)}}); err != nil {
		return err
	}
	x.c, err = client.Open(client.Options{
		Store: store, Device: client.Device{Name: phoneName, Platform: phonePlatform},
		URL: x.o.URL, Token: func(ctx context.Context) (string, error) { return x.o.Token(ctx, x.me) },
		Logger: x.o.Logger, CloseWait: time.Second,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	events, ended := make(chan client.Event), make(chan struct{})
	go func() {
		defer close(ended)
		for e := range x.c.Events(ctx) {
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	err = x.days(ctx, events)
	cancel()
	<-ended
	return errors.Join(err, x.c.Close())
}

// days takes what happens and does what is due.
func (x *life) days(ctx context.Context, events <-chan client.Event) error {
	x.idea, x.pause = x.in(20*time.Second, 200*time.Second), pauseMin
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			switch e := e.(type) {
			case client.Received:
				x.received(e)
			case client.Stopped:
				return e.Err
			}
		case <-alarm.C:
			if err := x.due(time.Now()); err != nil {
				return err
			}
		}
		alarm.Reset(time.Until(x.next()))
	}
}

// in is a moment from now, at the pace that was asked for.
func (x *life) in(least, most time.Duration) time.Time {
	d := least + time.Duration(x.rng.Float64()*float64(most-least))
	return time.Now().Add(time.Duration(float64(d) / x.o.Pace))
}

// next is when there is something to do.
func (x *life) next() time.Time {
	next := x.idea
	for _, e := range x.errands {
		if e.at.Before(next) {
			next = e.at
		}
	}
	return next
}

// received has one look at what came in a while, and perhaps answer.
func (x *life) received(r client.Received) {
	heard, lively := "", false
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.From == x.me || m.Event != nil || m.At.Before(x.begun.Add(-before)) {
			continue
		}
		heard, lively = m.Text(), slices.Contains(x.world.Lively, m.From)
	}
	v, err := x.c.Conversation(r.Conversation)
	if heard == "" || err != nil {
		return
	}
	if !lively && x.pause > pauseMin {
		x.pause = pauseMin
		if next := x.in(pauseMin, 4*pauseMin); next.Before(x.idea) {
			x.idea = next
		}
	}
	answer := x.rng.Float64() < inclination(v.Kind, lively)
	e := x.errands[r.Conversation]
	switch {
	case e == nil:
		x.errands[r.Conversation] = &errand{at: x.in(2*time.Second, 9*time.Second), answer: answer, heard: heard}
	case e.step == stepRead:
		e.answer, e.heard = e.answer || answer, heard
	default: // one looks at it, and types
		_ = x.c.MarkRead(r.Conversation, 0)
	}
}

// inclination is how likely one answers. Of those who live on, each answer must
// bring less than one other, or they would never stop.
func inclination(kind parley.ConversationKind, lively bool) float64 {
	switch {
	case kind == parley.Direct && !lively:
		return 1
	case kind == parley.Direct:
		return 0.5
	case !lively:
		return 0.4
	}
	return 0.1
}

// due does what is due.
func (x *life) due(now time.Time) error {
	if !now.Before(x.idea) {
		x.idea = x.in(x.pause, 4*x.pause)
		x.pause = min(x.pause*3/2, pauseMax)
		x.begin()
	}
	for id, e := range x.errands {
		if now.Before(e.at) {
			continue
		}
		if err := x.do(id, e); err != nil {
			return err
		}
	}
	return nil
}

func (x *life) do(id parley.ConversationID, e *errand) error {
	switch e.step {
	case stepRead:
		_ = x.c.MarkRead(id, 0)
		if !e.answer {
			delete(x.errands, id)
			return nil
		}
		e.step, e.at = stepType, x.in(time.Second, 4*time.Second)
	case stepType:
		if e.text == "" {
			e.text = x.answer(id, e.heard)
		}
		typing := time.Second + time.Duration(min(len(e.text), 90))*80*time.Millisecond
		e.step, e.until = stepSend, x.in(typing, typing+time.Second)
		x.key(id, e)
	case stepSend:
		if time.Now().Before(e.until) {
			x.key(id, e)
			return nil
		}
		x.c.Typing(id, false)
		delete(x.errands, id)
		switch _, err := x.c.SendText(id, e.text); {
		case errors.Is(err, parley.Overloaded), errors.Is(err, client.ErrUnknown):
			// offline for long, or thrown out meanwhile: one lets it be
		case err != nil:
			return err
		}
	}
	return nil
}

// key hits one, and says when the next is.
func (x *life) key(id parley.ConversationID, e *errand) {
	x.c.Typing(id, true)
	e.at = x.in(time.Second, time.Second)
	if e.until.Before(e.at) {
		e.at = e.until
	}
}

// begin has one think of something to say: to the main person, or to a group.
func (x *life) begin() {
	var at []client.Conversation
	for _, v := range x.c.Conversations() {
		if !v.Left && x.errands[v.ID] == nil && (v.Kind == parley.Group || v.Peer() == x.world.Main) && !x.spokeLast(v) {
			at = append(at, v)
		}
	}
	if len(at) == 0 {
		return
	}
	slices.SortFunc(at, func(a, b client.Conversation) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	v := at[x.rng.IntN(len(at))]
	what := "everyone"
	if v.Kind == parley.Direct {
		what = "direct"
	}
	x.errands[v.ID] = &errand{step: stepType, at: time.Now(), text: x.one(what)}
}

// spokeLast says that it is for others to speak.
func (x *life) spokeLast(v client.Conversation) bool {
	last, _, err := x.c.Messages(v.ID, parley.SeqRange{From: v.Last, To: v.Last})
	return err == nil && len(last) == 1 && last[0].From == x.me
}

// answer is what one says to what one has heard.
func (x *life) answer(id parley.ConversationID, heard string) string {
	if v, err := x.c.Conversation(id); err == nil && v.Kind == parley.Group {
		return x.one("group")
	}
	heard = strings.ToLower(heard)
	first, _, _ := strings.Cut(strings.TrimLeft(heard, " \n"), " ")
	switch strings.Trim(first, "!,.?") {
	case "hi", "hey", "hello", "hallo", "hej", "hola":
		return x.one("greeting")
	case "thanks", "thank", "thx", "cheers":
		return x.one("thanks")
	case "bye", "goodbye", "ciao":
		return x.one("bye")
	}
	if strings.Contains(heard, "?") {
		return x.one("question")
	}
	return x.one("other")
}

func (x *life) one(of string) string {
	x.words.begin()
	lines := x.words.library.replies[of]
	return x.words.expand(lines[x.rng.IntN(len(lines))])
}
