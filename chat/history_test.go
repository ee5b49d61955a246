package chat

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleychat/parley"
)

// shape writes a page as its ranges: 1-3 for messages, (4-6) for what is
// withheld.
func shape(p Page) string {
	var out []string
	for i := 0; i < len(p.Items); i++ {
		it := p.Items[i]
		if it.Withheld != 0 {
			out = append(out, fmt.Sprintf("(%d-%d)", it.Range.From, it.Range.To))
			continue
		}
		from := it.Message.Seq
		for i+1 < len(p.Items) && p.Items[i+1].Withheld == 0 {
			i++
		}
		out = append(out, fmt.Sprintf("%d-%d", from, p.Items[i].Message.Seq))
	}
	return fmt.Sprintf("%d-%d of %d: %s", p.Range.From, p.Range.To, p.Last, strings.Join(out, " "))
}

func TestHistoryShowsWhatIsYours(t *testing.T) {
	w := open(t, Options{})
	u := w.users(3)
	ctx := t.Context()
	c := w.group(u[0], u[2]) // 1
	say := func(n int) {
		for range n {
			w.say(u[0], c, "x")
		}
	}
	say(3)                                              // 2-4
	w.check(w.Add(ctx, u[0].Identity, c, u[1].User))    // 5
	say(2)                                              // 6-7
	w.check(w.Leave(ctx, u[1].Identity, c))             // 8
	say(3)                                              // 9-11
	w.check(w.Add(ctx, u[0].Identity, c, u[1].User))    // 12
	say(1)                                              // 13
	w.check(w.Remove(ctx, u[0].Identity, c, u[2].User)) // 14
	say(1)                                              // 15
	for _, c2 := range []struct {
		who      int
		want     parley.SeqRange
		backward bool
		shape    string
	}{
		{0, parley.SeqRange{From: 1, To: 99}, false, "1-15 of 15: 1-15"},
		{1, parley.SeqRange{From: 0, To: 99}, false, "1-15 of 15: (1-4) 5-8 (9-11) 12-15"},
		{1, parley.SeqRange{From: 1, To: 99}, true, "1-15 of 15: (1-4) 5-8 (9-11) 12-15"},
		{1, parley.SeqRange{From: 2, To: 3}, false, "2-3 of 15: (2-3)"},
		{1, parley.SeqRange{From: 4, To: 5}, false, "4-5 of 15: (4-4) 5-5"},
		{1, parley.SeqRange{From: 8, To: 9}, true, "8-9 of 15: 8-8 (9-9)"},
		{2, parley.SeqRange{From: 1, To: 99}, false, "1-14 of 14: 1-14"},
		{2, parley.SeqRange{From: 15, To: 15}, false, "15-14 of 14: "},
		{0, parley.SeqRange{From: 16, To: 20}, false, "16-15 of 15: "},
		{0, parley.SeqRange{From: 9, To: 3}, false, "9-3 of 15: "},
	} {
		for range 2 { // from the head, then from a segment
			p, err := w.History(ctx, u[c2.who].Identity, c, c2.want, c2.backward)
			w.check(err)
			if got := shape(p); got != c2.shape {
				t.Errorf("user %d, %v: %q, want %q", c2.who, c2.want, got, c2.shape)
			}
			w.flush()
		}
	}
}

func TestHistoryPagesAreBounded(t *testing.T) {
	w := open(t, Options{})
	u := w.users(2)
	ctx := t.Context()
	small, large := w.direct(u[0], u[1]), w.group(u[0], u[1])
	for range PageMax + 50 {
		w.say(u[0], small, "x")
	}
	const body = 50 << 10
	for range 20 {
		w.say(u[0], large, strings.Repeat("x", body))
	}
	all := parley.SeqRange{From: 1, To: 1 << 62}
	fit := parley.Seq(pageBytesMax / body)
	for _, c := range []struct {
		room     parley.ConversationID
		backward bool
		shape    string
	}{
		{small, false, "1-200 of 250: 1-200"},
		{small, true, "51-250 of 250: 51-250"},
		{large, false, fmt.Sprintf("1-%d of 21: 1-%d", fit+1, fit+1)}, // the making is as good as empty
		{large, true, fmt.Sprintf("%d-21 of 21: %d-21", 22-fit, 22-fit)},
	} {
		p, err := w.History(ctx, u[1].Identity, c.room, all, c.backward)
		w.check(err)
		if got := shape(p); got != c.shape {
			t.Errorf("backward %v: %q, want %q", c.backward, got, c.shape)
		}
	}
}

// A message larger than a page is a page.
func TestHistoryShowsTheLargest(t *testing.T) {
	w := open(t, Options{BodyMax: pageBytesMax * 2})
	w.opts.Engine.HeadSize = 8 << 20
	w.restart()
	u := w.users(2)
	c := w.direct(u[0], u[1])
	for range 3 {
		w.say(u[0], c, strings.Repeat("x", pageBytesMax+1))
	}
	for backward, shown := range map[bool]string{false: "1-1 of 3: 1-1", true: "3-3 of 3: 3-3"} {
		p, err := w.History(t.Context(), u[0].Identity, c, parley.SeqRange{From: 1, To: 9}, backward)
		w.check(err)
		if got := shape(p); got != shown {
			t.Errorf("backward %v: %q, want %q", backward, got, shown)
		}
	}
}
