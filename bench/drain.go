package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/parleychat/parley/wire"
)

const (
	// pullsMax is how often what a page does not bring is asked for again.
	pullsMax = 3
	// drainMax is how long a run may take to come to rest.
	drainMax = time.Minute
	// sampleMax is how many conversations are compared with the server's own
	// figures at the end.
	sampleMax = 200
)

// drain waits until every send is answered and every message is where it
// belongs. What is missing for long is pulled; what is missing then is for
// judge.
func (r *run) drain(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	unsent := 0
	r.still(func() {
		for _, u := range r.users {
			if !u.ended {
				unsent += u.due.len()
			}
		}
	})
	if unsent > 0 {
		return fmt.Errorf("%d messages were never sent: the server does not keep up with this rate", unsent)
	}
	return nil
}

func (r *run) settle(ctx context.Context) error {
	bar := newProgress(r.options.Progress, "draining", -1)
	defer bar.end()
	start := time.Now()
	left, moved, pulls := -1, start, 0
	pullAfter := r.options.pullAfter
	for time.Since(start) < drainMax {
		sends, holes := r.underWay()
		if sends+holes == 0 {
			return nil
		}
		if sends+holes != left {
			left, moved, pulls = sends+holes, time.Now(), 0
		}
		idle := time.Since(moved)
		if idle > r.options.stuckAfter || sends == 0 && pulls == pullsMax && idle > 2*pullAfter {
			return nil
		}
		if pulls < pullsMax && idle > pullAfter+time.Duration(pulls)*pullAfter/4 {
			pulls++
			r.pullMissing()
		}
		if err := r.pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		bar.set(0)
	}
	return nil
}

// underWay counts the sends that are not answered and watermarks that are not
// told, and the conversations of which somebody lacks something.
func (r *run) underWay() (sends, holes int) {
	r.still(func() {
		for _, u := range r.users {
			if !u.ended {
				sends += u.inFlight + u.due.len() + len(u.dirty)
			}
		}
		for i := range r.conversations {
			if !r.conversations[i].settled() {
				holes++
			}
		}
	})
	return sends, holes
}

// pullMissing has everybody ask for what he lacks.
func (r *run) pullMissing() {
	r.still(func() {
		for i := range r.conversations {
			c := &r.conversations[i]
			for side := range c.sides {
				if s := &c.sides[side]; s.held.prefix < c.top() {
					r.users[s.user].pull(s.place)
				}
			}
		}
	})
	r.proceedAll()
}

// judge looks for violations in what every user holds, and in what the server
// says of a sample of conversations.
func (r *run) judge(ctx context.Context) error {
	r.still(func() {
		for i := range r.conversations {
			r.conversations[i].judge(r.flaws.add)
		}
	})
	if r.dead.Load() > 0 {
		return nil // what the server would say of them is no news
	}
	random := rand.New(rand.NewPCG(r.options.Seed, 0xFACE))
	sample := random.Perm(len(r.conversations))[:min(sampleMax, len(r.conversations))]
	if r.options.Receipts {
		if err := r.askSample(ctx, sample, r.finalMark); err != nil {
			return err
		}
	}
	return r.askSample(ctx, sample, r.compareState)
}

// askSample asks something of both sides of conversations, and waits for all
// replies.
func (r *run) askSample(ctx context.Context, sample []int, question func(c *conversation, side int) (*wire.Request, func(*wire.ServerMessage))) error {
	var waiting atomic.Int64
	var asks []func()
	r.still(func() {
		for _, i := range sample {
			c := &r.conversations[i]
			for side := range c.sides {
				u := r.users[c.sides[side].user]
				request, then := question(c, side)
				asks = append(asks, func() {
					waiting.Add(1)
					u.ask(request, func(m *wire.ServerMessage) {
						then(m)
						waiting.Add(-1)
					})
				})
			}
		}
	})
	for _, ask := range asks {
		ask()
	}
	deadline := time.Now().Add(r.options.stuckAfter)
	for waiting.Load() > 0 {
		if time.Now().After(deadline) {
			r.flaws.add(newFlaw(unanswered, "%d of %d questions at the end", waiting.Load(), 2*len(sample)))
			return nil
		}
		if err := r.pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// finalMark says once more, with a reply, that a side has read everything.
func (r *run) finalMark(c *conversation, side int) (*wire.Request, func(*wire.ServerMessage)) {
	s := &c.sides[side]
	mark := &wire.Mark{Conversation: c.id[:], Delivered: s.held.prefix, Read: s.held.prefix}
	return &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{mark}}}, func(m *wire.ServerMessage) {
		if m.Done == nil {
			r.flaws.add(newFlaw(unanswered, "user %d, conversation %v: no Done for watermarks", s.user, c.id))
		}
	}
}

// compareState compares what the server lists of a conversation with what this
// side holds of it.
func (r *run) compareState(c *conversation, side int) (*wire.Request, func(*wire.ServerMessage)) {
	s, top, base := &c.sides[side], c.top(), c.base
	return &wire.Request{State: &wire.GetState{Conversation: c.id[:]}}, func(m *wire.ServerMessage) {
		where := fmt.Sprintf("user %d, conversation %v", s.user, c.id)
		st := m.State
		if st == nil {
			r.flaws.add(newFlaw(unanswered, "%s: no State", where))
			return
		}
		if st.Last != top {
			r.flaws.add(newFlaw(gapped, "%s: the server's last sequence is %d, and %d was the last told", where, st.Last, top))
		}
		switch {
		case r.options.Receipts:
			if st.Unread != 0 {
				r.flaws.add(newFlaw(unreadWrong, "%s: %d unread after all was read", where, st.Unread))
			}
			if st.Read != top || st.Delivered != top {
				r.flaws.add(newFlaw(marksWrong, "%s: the watermarks are (%d, %d) after everything to %d was read", where, st.Delivered, st.Read, top))
			}
		case base == 0 && st.Unread != s.got.count:
			r.flaws.add(newFlaw(unreadWrong, "%s: %d unread, and %d were received and not read", where, st.Unread, s.got.count))
		}
	}
}
