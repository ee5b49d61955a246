package crashtest

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/verify"
	"github.com/parleychat/parley/wire"
)

// judge holds the folder of a server that is gone to what its users were told
// and shown.
func (c *crowd) judge() (*verify.Report, error) {
	r, err := verify.Folder(vfs.Default, c.dir)
	if err != nil {
		return nil, err
	}
	if len(r.Flaws) > 0 {
		return nil, fmt.Errorf("verify: %d flaws, the first: %s", len(r.Flaws), r.Flaws[0])
	}
	for _, b := range c.boxes {
		if err := b.judge(b.conversation(r)); err != nil {
			return nil, err
		}
	}
	for _, u := range c.users {
		if err := u.judgeSeen(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (u *user) id(r *verify.Report) parley.UserID {
	return r.Model.Users[fmt.Sprintf("%d/%s", parley.DefaultTenant, u.name)]
}

func (b *box) conversation(r *verify.Report) (*verify.Conversation, parley.UserID) {
	me := b.user.id(r)
	return r.Model.Conversations[parley.DirectConversation(parley.DefaultTenant, me, b.peer().id(r))], me
}

// judge looks for everything that was acknowledged: there, once, in order, under
// its sequence; and for watermarks, which hold and were asked for.
func (b *box) judge(conv *verify.Conversation, me parley.UserID) error {
	at := make(map[parley.Number]parley.Seq)
	if conv != nil {
		for i, m := range conv.Messages {
			if m.From != me || m.Stream != parley.StreamID(b.user.stream) {
				continue
			}
			if at[m.Number] != 0 {
				return fmt.Errorf("%s is there twice", b.name(int(m.Number)))
			}
			at[m.Number] = parley.Seq(i + 1)
		}
	}
	before := parley.Seq(0)
	for i, told := range b.told {
		switch {
		case told == 0:
			if at[parley.Number(i+1)] != 0 {
				b.user.crowd.unanswered++
			}
		case at[parley.Number(i+1)] != told:
			return fmt.Errorf("%s was acknowledged as %d and stands at %d", b.name(i+1), told, at[parley.Number(i+1)])
		case told <= before:
			return fmt.Errorf("%s is out of order", b.name(i+1))
		default:
			before = told
		}
	}
	if conv == nil {
		if b.room.id != (parley.ConversationID{}) {
			return fmt.Errorf("the conversation of %s and %s was made and is gone", b.user.name, b.peer().name)
		}
		return nil
	}
	return b.judgeMarks(conv.Members[me])
}

func (b *box) judgeMarks(m *verify.Member) error {
	// Reading raises delivered too.
	held, told, asked := parley.Watermarks{Delivered: m.Delivered, Read: m.Read}, b.marks, b.asked
	asked.Delivered = max(asked.Delivered, asked.Read)
	if held.Read < told.Read || held.Delivered < told.Delivered {
		return fmt.Errorf("watermarks of %s with %s were acknowledged as %v and are %v", b.user.name, b.peer().name, told, held)
	}
	if held.Read > asked.Read || held.Delivered > asked.Delivered {
		return fmt.Errorf("watermarks of %s with %s are %v, and %v was asked for", b.user.name, b.peer().name, held, asked)
	}
	return nil
}

// judgeSeen looks for what was pushed: nobody sees what a crash can take back.
func (u *user) judgeSeen(r *verify.Report) error {
	names := make(map[parley.UserID]string)
	for _, other := range u.crowd.users {
		names[other.id(r)] = other.name
	}
	for at, m := range u.seen {
		conv := r.Model.Conversations[at.room]
		if conv == nil || int(at.seq) > len(conv.Messages) {
			return fmt.Errorf("%s saw sequence %d, which is gone", u.name, at.seq)
		}
		if s := conv.Messages[at.seq-1]; names[s.From] != m.from || s.Stream != m.stream || s.Number != m.number {
			return fmt.Errorf("%s saw %v at sequence %d, where %v stands", u.name, m, at.seq, s)
		}
	}
	return nil
}

// compare holds what a new server says of every conversation to what its folder
// was judged to hold.
func (c *crowd) compare(r *verify.Report) error {
	for _, b := range c.boxes {
		conv, me := b.conversation(r)
		if conv == nil {
			continue
		}
		id := parley.DirectConversation(parley.DefaultTenant, me, b.peer().id(r)) // its making may not have been answered
		m, err := b.user.ask(&wire.Request{State: &wire.GetState{Conversation: id[:]}})
		if err != nil {
			return err
		}
		if m.State == nil {
			return fmt.Errorf("state: %v", m)
		}
		if err := b.compareState(m.State, conv, me, b.peer().id(r)); err != nil {
			return fmt.Errorf("%s with %s: %w", b.user.name, b.peer().name, err)
		}
	}
	return nil
}

func (b *box) compareState(s *wire.State, conv *verify.Conversation, me, peer parley.UserID) error {
	type marks struct{ Last, Delivered, Read, Unread, PeerDelivered, PeerRead uint64 }
	mine, theirs := conv.Members[me], conv.Members[peer]
	want := marks{
		uint64(len(conv.Messages)), uint64(mine.Delivered), uint64(mine.Read), conv.CountUnread(me),
		uint64(theirs.Delivered), uint64(theirs.Read),
	}
	got := marks{s.Last, s.Delivered, s.Read, s.Unread, s.Peer.GetDelivered(), s.Peer.GetRead()}
	if got != want {
		return fmt.Errorf("the server says %+v, the folder holds %+v", got, want)
	}
	counts := parley.Counts{Ordinal: parley.Ordinal(s.Ordinal), ReadOrdinal: parley.Ordinal(s.ReadOrdinal), Own: s.Own, OwnAtRead: s.OwnAtRead}
	if counts.Unread() != s.Unread || s.MarkedUnread != mine.Unread || s.Left {
		return fmt.Errorf("the state contradicts itself: %v", s)
	}
	return nil
}

// TestJudge proves that the judge notices.
func TestJudge(t *testing.T) {
	c := &crowd{}
	c.users = []*user{{crowd: c, name: "a", stream: 7}, {crowd: c, name: "b", stream: 8}}
	c.meet(0, 1)
	b := c.boxes[0]
	me := parley.UserID{1}
	conv := func(numbers ...parley.Number) *verify.Conversation {
		v := &verify.Conversation{Members: map[parley.UserID]*verify.Member{me: {Delivered: 5, Read: 3}}}
		for _, n := range numbers {
			v.Messages = append(v.Messages, verify.Message{From: me, Stream: 7, Number: n})
		}
		return v
	}
	b.asked, b.room.id = parley.Watermarks{Delivered: 5, Read: 3}, parley.ConversationID{1}
	for _, x := range []struct {
		name  string
		told  []parley.Seq
		marks parley.Watermarks
		conv  *verify.Conversation
		good  bool
	}{
		{"all is well", []parley.Seq{1, 2, 0}, parley.Watermarks{Delivered: 5, Read: 3}, conv(1, 2), true},
		{"not acknowledged, and there", []parley.Seq{1, 0}, parley.Watermarks{}, conv(1, 2), true},
		{"lost", []parley.Seq{1, 2}, parley.Watermarks{}, conv(1), false},
		{"all lost", []parley.Seq{1}, parley.Watermarks{}, nil, false},
		{"the conversation lost", nil, parley.Watermarks{}, nil, false},
		{"moved", []parley.Seq{2}, parley.Watermarks{}, conv(1), false},
		{"twice", []parley.Seq{1}, parley.Watermarks{}, conv(1, 1), false},
		{"out of order", []parley.Seq{2, 1}, parley.Watermarks{}, conv(2, 1), false},
		{"read fell", nil, parley.Watermarks{Read: 4}, conv(), false},
		{"delivered fell", nil, parley.Watermarks{Delivered: 6}, conv(), false},
	} {
		b.told, b.marks = x.told, x.marks
		if err := b.judge(x.conv, me); (err == nil) != x.good {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	b.told, b.marks, b.asked = nil, parley.Watermarks{}, parley.Watermarks{Delivered: 5, Read: 2}
	if b.judge(conv(), me) == nil {
		t.Error("nobody had read so far")
	}
}
