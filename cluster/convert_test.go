package cluster

import (
	"testing"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
)

// A page that is cut holds the messages that it names: the first ones, or backward
// the last.
func TestShortenKeepsTheEndAskedFor(t *testing.T) {
	for _, c := range []struct {
		messages, bytes int
		backward        bool
		from, to        parley.Seq
	}{
		{2, 1000, false, 1, 2},
		{2, 1000, true, 4, 5},
		{1, 1000, true, 5, 5},
		{9, 25, false, 1, 2},
		{9, 25, true, 4, 5},
		{9, 1000, true, 1, 5},
	} {
		p := chat.Page{Range: parley.SeqRange{From: 1, To: 5}}
		for seq := parley.Seq(1); seq <= 5; seq++ {
			p.Items = append(p.Items, chat.Item{Message: parley.Message{Seq: seq, Body: make([]byte, 10)}})
		}
		shorten(&p, c.messages, c.bytes, c.backward)
		first, last := p.Items[0].Message.Seq, p.Items[len(p.Items)-1].Message.Seq
		if p.Range.From != c.from || p.Range.To != c.to || first != c.from || last != c.to || len(p.Items) != int(c.to-c.from)+1 {
			t.Errorf("%+v: page %d..%d with messages %d..%d", c, p.Range.From, p.Range.To, first, last)
		}
	}
}
