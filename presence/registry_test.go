package presence_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/presence"
)

// pair is a registry where sessions come and go, and one that is asked; they may
// be the same.
type pair struct{ here, asked presence.Registry }

type opener func(t *testing.T, changed func(parley.UserID, bool)) pair

// TestRegistry is what every registry must do. Both implementations pass the same
// cases, Redis also when one process asks after the users of another.
func TestRegistry(t *testing.T) {
	for name, open := range map[string]opener{
		"memory": func(t *testing.T, changed func(parley.UserID, bool)) pair {
			m := presence.NewMemory(presence.Options{Changed: changed})
			closeAtEnd(t, m)
			return pair{m, m}
		},
		"redis": func(t *testing.T, changed func(parley.UserID, bool)) pair {
			r := openRedis(t, redisOptions(t, "one", changed))
			return pair{r, r}
		},
		"two-gateways": func(t *testing.T, changed func(parley.UserID, bool)) pair {
			return pair{openRedis(t, redisOptions(t, "one", nil)), openRedis(t, redisOptions(t, "two", changed))}
		},
	} {
		t.Run(name, func(t *testing.T) { testRegistry(t, open) })
	}
}

func testRegistry(t *testing.T, open opener) {
	cases := []struct {
		name string
		test func(*testing.T, opener)
	}{
		{"counts-sessions", testCounts},
		{"answers-in-order", testOrder},
		{"tells-changes", testTells},
		{"watches-are-counted", testInterests},
		{"asks-what-it-may", testBounds},
		{"changed-may-ask", testReentrant},
		{"closed", testClosed},
		{"ends-where-a-model-ends", testModel},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// A user is online from his first session to his last, of whichever device.
func testCounts(t *testing.T, open opener) {
	p := open(t, nil)
	ann, phone, nameless := user(1), device(1), parley.DeviceID{}
	wantOnline(t, p.asked, ann, false, soon)
	p.here.Connect(ann, phone)
	p.here.Connect(ann, phone)
	p.here.Connect(ann, nameless)
	wantOnline(t, p.asked, ann, true, soon)
	p.here.Disconnect(ann, phone)
	p.here.Disconnect(ann, nameless)
	p.here.Disconnect(ann, nameless) // one too many
	time.Sleep(50 * time.Millisecond)
	wantOnline(t, p.asked, ann, true, soon)
	if got := p.here.Stats().Users; got != 1 {
		t.Errorf("%d users", got)
	}
	p.here.Disconnect(ann, phone)
	wantOnline(t, p.asked, ann, false, soon)
	p.here.Disconnect(ann, phone)
	for i := range 6 { // who has the sessions knows at once, whatever is written by then
		if i%2 == 0 {
			p.here.Connect(ann, phone)
		} else {
			p.here.Disconnect(ann, phone)
		}
		into := make([]bool, 1)
		if err := p.here.Online(t.Context(), []parley.UserID{ann}, into); err != nil || into[0] != (i%2 == 0) {
			t.Fatalf("round %d: online = %v, %v", i, into[0], err)
		}
		time.Sleep(120 * time.Millisecond)
	}
	p.here.Connect(ann, phone)
	wantOnline(t, p.asked, ann, true, soon)
}

// Answers stand where their questions stood, repeats included.
func testOrder(t *testing.T, open opener) {
	p := open(t, nil)
	for i := 0; i < 150; i += 3 {
		p.here.Connect(user(i), device(i))
	}
	list := append(users(0, 150), user(3), user(4), user(3))
	wantOnline(t, p.asked, user(147), true, soon)
	eventually(t, soon, "all answers are right", func() bool {
		into := make([]bool, len(list))
		if err := p.asked.Online(t.Context(), list, into); err != nil {
			return false
		}
		for i, u := range list {
			if want := slices.Index(users(0, 150), u)%3 == 0; into[i] != want {
				return false
			}
		}
		return true
	})
}

// Who is watched is told of, when it changes and not otherwise.
func testTells(t *testing.T, open opener) {
	var h heard
	p := open(t, h.changed)
	ann, bob := user(1), user(2)
	p.here.Connect(bob, device(2))
	p.asked.Watch([]parley.UserID{ann, bob})
	wantOnline(t, p.asked, ann, false, soon)
	wantOnline(t, p.asked, bob, true, soon)
	p.here.Connect(ann, device(1))
	h.want(t, ann, true, soon)
	p.here.Disconnect(ann, device(1))
	h.want(t, ann, false, soon)
	p.here.Disconnect(bob, device(2))
	h.want(t, bob, false, soon)
	p.here.Connect(user(3), device(3)) // nobody watches
	p.here.Connect(bob, device(1))
	h.want(t, bob, true, soon)
	if _, told := h.of(user(3)); told {
		t.Error("told of somebody who is not watched")
	}
}

// Interest ends with the last Unwatch.
func testInterests(t *testing.T, open opener) {
	var h heard
	p := open(t, h.changed)
	ann, bob := user(1), user(2)
	p.asked.Watch([]parley.UserID{ann, ann})
	p.asked.Watch([]parley.UserID{bob})
	p.asked.Unwatch([]parley.UserID{ann, user(7)})
	if got := p.asked.Stats().Watched; got != 2 {
		t.Errorf("%d watched", got)
	}
	wantOnline(t, p.asked, ann, false, soon)
	p.here.Connect(ann, device(1))
	h.want(t, ann, true, soon)
	p.asked.Unwatch([]parley.UserID{ann})
	wantOnline(t, p.asked, bob, false, soon)
	p.here.Disconnect(ann, device(1))
	p.here.Connect(bob, device(1))
	h.want(t, bob, true, soon)
	if online, _ := h.of(ann); !online {
		t.Error("told after the last interest was gone")
	}
	if got := p.asked.Stats().Watched; got != 1 {
		t.Errorf("%d watched", got)
	}
}

func testBounds(t *testing.T, open opener) {
	p := open(t, nil)
	list := users(0, presence.UsersMax+1)
	if err := p.asked.Online(t.Context(), list, make([]bool, len(list))); !errors.Is(err, presence.ErrTooMany) {
		t.Errorf("%d users: %v", len(list), err)
	}
	if err := p.asked.Online(t.Context(), nil, nil); err != nil {
		t.Errorf("nobody: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.asked.Online(ended, list[:1], make([]bool, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

// Changed may call everything but Close.
func testReentrant(t *testing.T, open opener) {
	var h heard
	var asked presence.Registry
	ready := make(chan struct{})
	p := open(t, func(u parley.UserID, online bool) {
		<-ready
		_ = asked.Online(context.Background(), []parley.UserID{u}, make([]bool, 1))
		asked.Watch([]parley.UserID{u})
		asked.Unwatch([]parley.UserID{u})
		asked.Connect(user(9), device(9))
		asked.Disconnect(user(9), device(9))
		h.changed(u, online)
	})
	asked = p.asked
	close(ready)
	p.asked.Watch([]parley.UserID{user(1)})
	wantOnline(t, p.asked, user(1), false, soon)
	p.here.Connect(user(1), device(1))
	h.want(t, user(1), true, soon)
}

// After Close nothing happens, and nothing is answered.
func testClosed(t *testing.T, open opener) {
	var h heard
	p := open(t, h.changed)
	p.asked.Watch([]parley.UserID{user(1)})
	wantOnline(t, p.asked, user(1), false, soon)
	for range 2 {
		if err := p.asked.Close(); err != nil {
			t.Error(err)
		}
	}
	p.asked.Connect(user(1), device(1))
	p.asked.Watch([]parley.UserID{user(2)})
	p.asked.Unwatch([]parley.UserID{user(1)})
	p.asked.Disconnect(user(1), device(1))
	if err := p.asked.Online(t.Context(), users(0, 1), make([]bool, 1)); !errors.Is(err, presence.ErrClosed) {
		t.Errorf("error = %v", err)
	}
	if h.calls.Load() != 0 {
		t.Error("told after Close")
	}
}

// Several goroutines connect and disconnect at random; in the end everybody stands
// as a count says, for who asks and for who watches.
func testModel(t *testing.T, open opener) {
	const people, workers, steps = 60, 4, 1500
	var h heard
	p := open(t, h.changed)
	watched := users(0, people)
	p.asked.Watch(watched)
	if _, err := countOnline(t, p.asked, watched); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	model := make(map[parley.UserID]int)
	var wg sync.WaitGroup
	for worker := range workers {
		rng := rand.New(rand.NewPCG(1, uint64(worker)))
		wg.Go(func() {
			open := make(map[[2]int]int)
			for range steps {
				who := [2]int{rng.IntN(people), rng.IntN(3)}
				u, d := user(who[0]), device(who[1])
				if open[who] > 0 && rng.IntN(2) == 0 {
					open[who]--
					p.here.Disconnect(u, d)
					mu.Lock()
					model[u]--
				} else if rng.IntN(4) == 0 {
					open[who]++
					p.here.Connect(u, d)
					mu.Lock()
					model[u]++
				} else {
					continue
				}
				mu.Unlock()
			}
			for who, n := range open { // half of them leave for good
				for ; who[0]%2 == 0 && n > 0; n-- {
					p.here.Disconnect(user(who[0]), device(who[1]))
					mu.Lock()
					model[user(who[0])]--
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for _, u := range watched {
		want := model[u] > 0
		wantOnline(t, p.asked, u, want, soon)
		eventually(t, soon, "told how he stands in the end", func() bool {
			online, _ := h.of(u)
			return online == want
		})
	}
}
