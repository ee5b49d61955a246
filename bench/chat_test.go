package bench

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// short is a run against a fake that takes about a second.
func short(f *fake) ChatOptions {
	return ChatOptions{
		URL: f.url(), Users: 6, Conversations: 9, InFlight: 4, Receipts: true,
		Duration: 300 * time.Millisecond, Warmup: 50 * time.Millisecond, Seed: 1,
		pullAfter: 300 * time.Millisecond, stuckAfter: 10 * time.Second,
	}
}

func chat(t *testing.T, o ChatOptions) *Report {
	t.Helper()
	r, err := Chat(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantNoViolation(t *testing.T, r *Report) {
	t.Helper()
	if r.Failed() {
		t.Fatalf("%v violations: %s", r.Metrics["violations"], strings.Join(r.Violations, "\n"))
	}
	if r.Metrics["messages"] == 0 {
		t.Fatalf("nothing was sent: %v", r.Metrics)
	}
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	for _, proto := range []wire.Subprotocol{wire.Binary, wire.JSON} {
		t.Run(proto.String(), func(t *testing.T) {
			o := short(newFake(t))
			o.Subprotocol = proto.String()
			r := chat(t, o)
			wantNoViolation(t, r)
			if r.Metrics["marks_per_msg"] == 0 || r.Metrics["ack_ms_p50"] == 0 {
				t.Errorf("metrics: %v", r.Metrics)
			}
		})
	}
}

// TestOpenLoopSendsWhatTheScheduleWants also proves that a slow server is
// charged for it.
func TestOpenLoopSendsWhatTheScheduleWants(t *testing.T) {
	t.Parallel()
	o := short(newFake(t))
	o.InFlight, o.Rate, o.Duration = 0, 500, time.Second
	r := chat(t, o)
	wantNoViolation(t, r)
	if sent, want := r.Metrics["messages"], 0.0; sent == want {
		t.Fatal("nothing was sent")
	}
	s, want := newSchedule(o.Seed, o.Rate, o.Users, 0), 0
	for ok := true; ok; want++ {
		_, ok = s.due(o.Warmup + o.Duration)
	}
	// The schedule begins elsewhere but has the same gaps.
	if sent := int(r.Metrics["messages"]); sent < want-2 || sent > want+2 {
		t.Errorf("%d messages were sent, the schedule has %d", sent, want)
	}
}

func TestWithoutReceiptsAllIsUnread(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	o := short(f)
	o.Receipts = false
	wantNoViolation(t, chat(t, o))
	f.onState = func(s *wire.State) { s.Unread++ }
	wantNoViolation(t, chat(t, o)) // in conversations that were not empty, unread is not known
	f = newFake(t)
	f.onState = func(s *wire.State) { s.Unread++ }
	o.URL = f.url()
	if r := chat(t, o); !strings.Contains(strings.Join(r.Violations, "\n"), unreadWrong) {
		t.Errorf("a wrong count was not seen: %q", r.Violations)
	}
}

func TestTwoRunsOnTheSameConversations(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for range 2 {
		wantNoViolation(t, chat(t, short(f)))
	}
}

func TestRefusedMessagesAreSentAgainInOrder(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.onRefuse = func(n int) *wire.Error {
		if n%7 == 0 {
			return &wire.Error{Code: uint32(parley.Overloaded), RetryAfterMs: 1}
		}
		return nil
	}
	r := chat(t, short(f))
	wantNoViolation(t, r)
	if r.Metrics["refused"] == 0 {
		t.Error("nothing was refused")
	}
}

func TestLostPushesAreRepaired(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.onPush = func(n int, m *wire.ServerMessage) []*wire.ServerMessage {
		if n%20 == 0 {
			return nil
		}
		return []*wire.ServerMessage{m}
	}
	r := chat(t, short(f))
	wantNoViolation(t, r)
	if r.Metrics["repaired"] == 0 || r.Metrics["pushes_lost"] == 0 {
		t.Errorf("lost %v, repaired %v", r.Metrics["pushes_lost"], r.Metrics["repaired"])
	}
}

// TestViolationsAreSeen breaks each promise once, in the middle of a run.
func TestViolationsAreSeen(t *testing.T) {
	t.Parallel()
	const nth = 10 // of those that are sent at once
	once := func(f func(*wire.ServerMessage) []*wire.ServerMessage) func(int, *wire.ServerMessage) []*wire.ServerMessage {
		return func(n int, m *wire.ServerMessage) []*wire.ServerMessage {
			if n == nth {
				return f(m)
			}
			return []*wire.ServerMessage{m}
		}
	}
	for _, c := range []struct {
		name, want string
		breaks     func(*fake)
	}{
		{"a push twice", doubled, func(f *fake) {
			f.onPush = once(func(m *wire.ServerMessage) []*wire.ServerMessage { return []*wire.ServerMessage{m, m} })
		}},
		{"two pushes in the other order", reordered, func(f *fake) {
			held := map[string]*wire.ServerMessage{}
			done := false
			f.onPush = func(n int, m *wire.ServerMessage) []*wire.ServerMessage {
				key := string(m.Message.Conversation) + m.Message.From
				if before := held[key]; before != nil {
					held[key], done = nil, true
					return []*wire.ServerMessage{m, before}
				}
				if n >= nth && !done && len(held) == 0 {
					held[key] = m
					return nil
				}
				return []*wire.ServerMessage{m}
			}
		}},
		{"another sequence in the receipt", gapped, func(f *fake) {
			f.onSent = func(n int, m *wire.ServerMessage) {
				if n == nth {
					m.Sent.Seq += 1000
				}
			}
		}},
		{"a message that is nowhere", lost, func(f *fake) {
			f.onPush = once(func(*wire.ServerMessage) []*wire.ServerMessage { return nil })
			f.onPage = func(p *wire.Page) { p.Items = nil }
		}},
		{"a receipt that never comes", unanswered, func(f *fake) {
			f.onSent = func(n int, m *wire.ServerMessage) {
				if n == nth {
					m.ReplyTo, m.Sent, m.GoingAway = 0, nil, &wire.GoingAway{}
				}
			}
		}},
		{"another body", altered, func(f *fake) {
			f.onPush = once(func(m *wire.ServerMessage) []*wire.ServerMessage {
				m.Message.Data[len(m.Message.Data)-1] ^= 1
				return []*wire.ServerMessage{m}
			})
		}},
		{"a refusal for good", refused, func(f *fake) {
			f.onRefuse = func(n int) *wire.Error {
				if n == nth {
					return &wire.Error{Code: uint32(parley.NotMember), Name: "not_member"}
				}
				return nil
			}
		}},
		{"a wrong count", unreadWrong, func(f *fake) { f.onState = func(s *wire.State) { s.Unread++ } }},
		{"a watermark that stays", marksWrong, func(f *fake) { f.onState = func(s *wire.State) { s.Read-- } }},
		{"a head beyond what was told", gapped, func(f *fake) { f.onState = func(s *wire.State) { s.Last++ } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c.breaks(f)
			o := short(f)
			o.stuckAfter = 2 * time.Second // several end only by it
			r := chat(t, o)
			if !r.Failed() || !strings.Contains(strings.Join(r.Violations, "\n"), c.want) {
				t.Errorf("want a violation %q, got %q", c.want, r.Violations)
			}
		})
	}
}

func TestServerThatEndsConnections(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.onSent = func(n int, _ *wire.ServerMessage) {
		if n == 100 {
			for _, s := range f.sessions {
				_ = s.socket.Close()
			}
		}
	}
	if r, err := Chat(t.Context(), short(f)); err == nil && !r.Failed() {
		t.Error("nobody saw that the connections ended")
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := ChatOptions{Users: 4, Conversations: 6, InFlight: 1, Duration: time.Second}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := Chat(t.Context(), good); !errors.Is(err, ErrOptions) {
		t.Errorf("without a server: %v", err)
	}
	for name, change := range map[string]func(*ChatOptions){
		"no such encoding":   func(o *ChatOptions) { o.Subprotocol = "parley.v2" },
		"one user":           func(o *ChatOptions) { o.Users = 1 },
		"more than pairs":    func(o *ChatOptions) { o.Conversations = 7 },
		"no load":            func(o *ChatOptions) { o.InFlight = 0 },
		"both loads":         func(o *ChatOptions) { o.Rate = 1 },
		"negative in flight": func(o *ChatOptions) { o.InFlight, o.Rate = -1, 5 },
		"no duration":        func(o *ChatOptions) { o.Duration = 0 },
		"body too small":     func(o *ChatOptions) { o.Size = BodyMin - 1 },
		"body too large":     func(o *ChatOptions) { o.Size = sizeMax + 1 },
	} {
		o := good
		change(&o)
		if err := o.Check(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPairsAreDistinct(t *testing.T) {
	for users := 2; users < 9; users++ {
		seen, of := map[[2]int]bool{}, make([]int, users)
		for i := range users * (users - 1) / 2 {
			a, b := pair(i, users)
			if a == b || seen[[2]int{min(a, b), max(a, b)}] {
				t.Fatalf("%d users: pair %d is (%d, %d)", users, i, a, b)
			}
			seen[[2]int{min(a, b), max(a, b)}] = true
			of[a]++
			of[b]++
		}
		for u, n := range of {
			if n != users-1 {
				t.Errorf("%d users: user %d is in %d pairs", users, u, n)
			}
		}
	}
}
