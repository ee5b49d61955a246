package chat

import (
	"context"
	"fmt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Withheld says why a page has a range in place of messages.
type Withheld uint8

// The reasons.
const (
	NotYours Withheld = 1 // the reader did not belong then
)

// Item is a message, or a range of sequences that has none to show.
type Item struct {
	Message  parley.Message  // if Withheld is 0
	Range    parley.SeqRange // otherwise
	Withheld Withheld
}

// Page is a stretch of a conversation without a gap: every sequence of Range is
// in one of Items, in order.
type Page struct {
	Incarnation parley.Incarnation
	Last        parley.Seq // of the conversation, when the page was read
	Version     parley.Version
	Range       parley.SeqRange // what the page covers; less than asked for if it was full
	Items       []Item
}

// PageMax bounds the messages of a page.
const PageMax = 200

// A page also ends where the bodies in it pass this; one message it always has.
const pageBytesMax = 256 << 10

// History reads a page of a conversation: the first of the range that was asked
// for, or with backward its last. Who never belonged is told
// parley.NotMember, whether the conversation exists or not.
func (s *Service) History(ctx context.Context, by parley.Identity, c parley.ConversationID, want parley.SeqRange, backward bool) (Page, error) {
	page := Page{Incarnation: s.engine.Incarnation()}
	var belongs []parley.SeqRange
	s.viewPlace(by, c, func(row *conversation, m *member, last parley.Seq) {
		belongs = append(belongs, m.belongs...)
		page.Last, page.Version = last, row.version
		if m.role == 0 { // what came after is not his to know
			page.Last, page.Version = belongs[len(belongs)-1].To, m.left
		}
	})
	if belongs == nil {
		return Page{}, parley.NotMember
	}
	page.Range = window(want, page.Last, backward)
	if err := s.fill(ctx, by, c, belongs, &page, backward); err != nil {
		return Page{}, err
	}
	return page, nil
}

// window is the part of a range that a page can hold.
func window(want parley.SeqRange, last parley.Seq, backward bool) parley.SeqRange {
	want.From, want.To = max(want.From, 1), min(want.To, last)
	if want.Len() > PageMax {
		if backward {
			want.From = want.To - PageMax + 1
		} else {
			want.To = want.From + PageMax - 1
		}
	}
	return want
}

// stretch is the longest range from at, up to a limit, that lies wholly inside
// one interval of belonging, or wholly outside.
func stretch(belongs []parley.SeqRange, at, limit parley.Seq) (part parley.SeqRange, yours bool) {
	part = parley.SeqRange{From: at, To: limit}
	for _, r := range belongs {
		switch {
		case r.To != 0 && r.To < at:
		case r.From > at:
			part.To = min(part.To, r.From-1)
			return part, false
		default:
			if r.To != 0 {
				part.To = min(part.To, r.To)
			}
			return part, true
		}
	}
	return part, false
}

// fill reads what stands in a page's range, and cuts the range where it is full.
func (s *Service) fill(ctx context.Context, by parley.Identity, c parley.ConversationID, belongs []parley.SeqRange, page *Page, backward bool) error {
	p := s.engine.Partition(by.Tenant, c)
	room := pageBytesMax
	for at := page.Range.From; page.Range.Contains(at); {
		part, yours := stretch(belongs, at, page.Range.To)
		at = part.To + 1
		if !yours {
			page.Items = append(page.Items, Item{Range: part, Withheld: NotYours})
			continue
		}
		for m, err := range s.engine.Read(ctx, p, c, part) {
			if err != nil {
				return err
			}
			shown, ok := view(c, &m)
			if !ok {
				return fmt.Errorf("%w: message %d of %v cannot be read", engine.ErrCorrupt, m.Seq, c)
			}
			if room -= len(shown.Body); room < 0 && !backward && len(page.Items) > 0 {
				page.Range.To = m.Seq - 1
				return nil
			}
			shown.Body = append([]byte(nil), shown.Body...)
			page.Items = append(page.Items, Item{Message: shown})
		}
	}
	if room < 0 {
		page.cutFront()
	}
	return nil
}

// cutFront leaves as many items at the end of a page as it may hold bytes, and
// one in any case.
func (p *Page) cutFront() {
	room, first := pageBytesMax, len(p.Items)
	for first > 0 {
		room -= len(p.Items[first-1].Message.Body)
		if room < 0 && first < len(p.Items) {
			break
		}
		first--
	}
	if first == 0 {
		return
	}
	p.Items = p.Items[first:]
	p.Range.From = p.Items[0].Message.Seq
	if p.Items[0].Withheld != 0 {
		p.Range.From = p.Items[0].Range.From
	}
}

// viewPlace shows the row of a conversation and a user's place in it, if he is a
// member or was one.
func (s *Service) viewPlace(by parley.Identity, c parley.ConversationID, f func(row *conversation, m *member, last parley.Seq)) {
	s.engine.View(s.engine.Partition(by.Tenant, c), func(v *engine.View) {
		slot, row := rowOf(v, by, c)
		if row == nil {
			return
		}
		if i, ok := row.find(by.User); ok {
			f(row, &row.members[i], slot.Last())
		}
	})
}
