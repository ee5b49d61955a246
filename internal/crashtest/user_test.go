package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// user is one client: a connection, which ends with its server, and what it was
// told, which does not. One goroutine at a time uses it.
type user struct {
	crowd *crowd
	name  string
	token string
	rng   *rand.Rand

	// For ever.
	stream      uint64
	incarnation uint64
	boxes       []*box
	rooms       map[parley.ConversationID]*box
	figures     figures

	// In one run.
	conn    *client.Conn
	out     []*wire.Request // to be written next
	deaf    bool            // the server takes nothing any more
	pause   bool            // something was refused
	askedAs uint32          // the last id of a request that is no send
	marking map[uint32][]*wire.Mark
	seen    map[place]message // what others wrote, as it was pushed
}

// place names a message, and message says what stands there.
type place struct {
	room parley.ConversationID
	seq  parley.Seq
}

type message struct {
	from   string
	stream parley.StreamID
	number parley.Number
}

// box is one user's outbox to one room. Bodies follow from the numbers, and so
// do the ids of requests: an answer, a request and the bytes in the log that
// belong together bear the same id, whatever becomes of the connection.
type box struct {
	user *user
	room *room
	at   uint32 // in crowd.boxes

	told   []parley.Seq      // of number n at n-1; 0: not told
	marks  parley.Watermarks // that were told to be stored
	asked  parley.Watermarks // that were asked for
	since  int               // numbers up to here were told in an earlier run
	flying int
	again  []int // numbers to be sent again first
	rewind bool  // something was refused: let all come back, then send it again
	pushed parley.Seq
}

// room is a direct conversation of two users.
type room struct {
	a, b int // in crowd.users
	id   parley.ConversationID
}

// figures are of all runs.
type figures struct{ acknowledged, repeated, refused, marked, pushed int }

func (f *figures) add(g figures) {
	f.acknowledged += g.acknowledged
	f.repeated += g.repeated
	f.refused += g.refused
	f.marked += g.marked
	f.pushed += g.pushed
}

// otherIDs are those of requests that are no sends.
const otherIDs = 1 << 31

func (b *box) id(number int) uint32 { return uint32(number)*uint32(len(b.user.crowd.boxes)) + b.at }

func (c *crowd) sent(id uint32) (b *box, number int) {
	n := uint32(len(c.boxes))
	return c.boxes[id%n], int(id / n)
}

func (b *box) body(number int) string {
	return fmt.Sprintf("q%d:%s", b.id(number), strings.Repeat("x", 40+number*7%160))
}

func (b *box) send(number int) *wire.Request {
	return &wire.Request{Id: b.id(number), Send: &wire.Send{
		Conversation: b.room.id[:], Stream: b.user.stream, Number: uint32(number), Kind: wire.Kind_KIND_TEXT, Text: b.body(number),
	}}
}

// connect begins a run.
func (u *user) connect(url string) error {
	conn, err := client.Dial(context.Background(), url, client.DialOptions{Token: u.token, Subprotocol: u.crowd.subprotocol})
	if err != nil {
		return err
	}
	u.conn, u.deaf, u.pause, u.out = conn, false, false, nil
	u.marking, u.seen = make(map[uint32][]*wire.Mark), make(map[place]message)
	w := conn.Welcome()
	if u.stream == 0 {
		u.stream, u.incarnation = w.Stream, w.Incarnation
	}
	if u.incarnation != w.Incarnation {
		return fmt.Errorf("incarnation %d was %d before the crash", w.Incarnation, u.incarnation)
	}
	return nil
}

// ask waits for the answer to one request. The answer is borrowed.
func (u *user) ask(q *wire.Request) (*wire.ServerMessage, error) {
	u.askedAs = max(u.askedAs, otherIDs) + 1
	q.Id = u.askedAs
	if err := u.conn.Write(q); err != nil {
		return nil, err
	}
	giveUp := time.AfterFunc(patience, func() { _ = u.conn.Close() })
	defer giveUp.Stop()
	for {
		messages, err := u.conn.Read()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.ReplyTo == q.Id {
				return m, nil
			}
			if err := u.hear(m); err != nil {
				return nil, err
			}
		}
	}
}

// talk keeps the server busy until the connection ends.
func (u *user) talk() error {
	for _, b := range u.boxes {
		b.begin()
	}
	for {
		u.write()
		messages, err := u.conn.Read()
		if err != nil {
			return u.crowd.goodbye(err)
		}
		for _, m := range messages {
			if err := u.hear(m); err != nil {
				return err
			}
		}
		u.acknowledge()
		if u.pause {
			time.Sleep(5 * time.Millisecond) // what is refused for now, is so for a while
			u.pause = false
		}
	}
}

// frameRequests is how many requests go in one WebSocket message.
const frameRequests = 64

// write sends what has gathered. When the server takes nothing any more, what it
// said before is still to be read.
func (u *user) write() {
	for len(u.out) > 0 && !u.deaf {
		n := min(len(u.out), frameRequests)
		u.deaf = u.conn.Write(u.out[:n]...) != nil
		u.out = u.out[n:]
	}
	u.out = u.out[:0]
}

// begin sends what was not answered again, and a tenth of what was: mostly of
// the last run, for an old receipt has to be read from the disk.
func (b *box) begin() {
	b.flying, b.rewind, b.again, b.pushed = 0, false, nil, 0
	rng := b.user.rng
	for i, seq := range b.told {
		if seq == 0 || rng.IntN(10) == 0 && (i >= b.since || rng.IntN(50) == 0) {
			b.again = append(b.again, i+1)
		}
	}
	b.since = len(b.told)
	b.pump()
}

// pump fills the pipeline.
func (b *box) pump() {
	if b.rewind {
		if b.flying > 0 {
			return
		}
		b.rewind, b.again = false, nil
		for i, seq := range b.told {
			if seq == 0 {
				b.again = append(b.again, i+1)
			}
		}
	}
	for b.flying < b.user.crowd.pipeline {
		number := 0
		if len(b.again) > 0 {
			number, b.again = b.again[0], b.again[1:]
		} else {
			b.told = append(b.told, 0)
			number = len(b.told)
		}
		b.flying++
		b.user.out = append(b.user.out, b.send(number))
	}
}

// hear takes one message of the server.
func (u *user) hear(m *wire.ServerMessage) error {
	switch {
	case m.Message != nil:
		return u.pushed(m.Message)
	case m.ReplyTo > otherIDs:
		u.marked(m)
	case m.Sent != nil:
		return u.receipt(m.ReplyTo, parley.Seq(m.Sent.Seq))
	case m.Error != nil && m.ReplyTo != 0:
		b, _ := u.crowd.sent(m.ReplyTo)
		if !parley.Code(m.Error.Code).Retry() {
			return fmt.Errorf("%s: a send was refused for good: %v", u.name, m.Error)
		}
		u.figures.refused++
		u.pause = true
		b.flying--
		b.rewind = true
		b.pump()
	}
	return nil
}

func (u *user) receipt(id uint32, seq parley.Seq) error {
	b, number := u.crowd.sent(id)
	if b.user != u || number < 1 || number > len(b.told) || seq == 0 {
		return fmt.Errorf("%s: a receipt for what was not sent: id %d, sequence %d", u.name, id, seq)
	}
	switch old := b.told[number-1]; {
	case old == 0:
		u.figures.acknowledged++
		b.told[number-1] = seq
	case old != seq:
		return fmt.Errorf("%v was acknowledged as %d and then as %d", b.name(number), old, seq)
	default:
		u.figures.repeated++
	}
	b.flying--
	b.pump()
	return nil
}

func (b *box) name(number int) string {
	return fmt.Sprintf("number %d of %s to %s", number, b.user.name, b.peer().name)
}

func (b *box) peer() *user {
	users := b.user.crowd.users
	if users[b.room.a] == b.user {
		return users[b.room.b]
	}
	return users[b.room.a]
}

// pushed takes note of a message, which must be found in the folder when the
// server is gone. Some may be lost; none comes out of order.
func (u *user) pushed(m *wire.Message) error {
	at := place{parley.ConversationID(m.Conversation), parley.Seq(m.Seq)}
	b := u.rooms[at.room]
	if b == nil || m.From == u.name && m.Stream == u.stream {
		return fmt.Errorf("%s was pushed what is not for him: %v", u.name, m)
	}
	if at.seq <= b.pushed {
		return fmt.Errorf("%s was pushed %d after %d", u.name, at.seq, b.pushed)
	}
	b.pushed = at.seq
	u.seen[at] = message{strings.Clone(m.From), parley.StreamID(m.Stream), parley.Number(m.Number)}
	u.figures.pushed++
	return nil
}

// marksFlying bounds the acknowledgements of a user that are on their way.
const marksFlying = 8

// acknowledge raises watermarks now and then.
func (u *user) acknowledge() {
	if u.rng.IntN(8) > 0 || len(u.marking) >= marksFlying || u.crowd.quiet {
		return
	}
	var marks []*wire.Mark
	for _, b := range u.boxes {
		if b.pushed <= b.asked.Delivered {
			continue
		}
		b.asked.Delivered = b.pushed
		if u.rng.IntN(2) == 0 {
			b.asked.Read = max(b.asked.Read, b.pushed-parley.Seq(u.rng.Uint64N(uint64(min(b.pushed, 50)))))
		}
		marks = append(marks, &wire.Mark{Conversation: b.room.id[:], Delivered: uint64(b.asked.Delivered), Read: uint64(b.asked.Read)})
	}
	if len(marks) > 0 {
		u.askedAs = max(u.askedAs, otherIDs) + 1
		u.marking[u.askedAs] = marks
		u.out = append(u.out, &wire.Request{Id: u.askedAs, Acknowledge: &wire.Acknowledge{Marks: marks}})
	}
}

// marked takes note of watermarks that were acknowledged.
func (u *user) marked(m *wire.ServerMessage) {
	if m.Done != nil {
		for _, k := range u.marking[m.ReplyTo] {
			b := u.rooms[parley.ConversationID(k.Conversation)]
			b.marks.Delivered = max(b.marks.Delivered, parley.Seq(k.Delivered))
			b.marks.Read = max(b.marks.Read, parley.Seq(k.Read))
			u.figures.marked++
		}
	}
	delete(u.marking, m.ReplyTo)
}

// goodbye judges the end of a connection. A server that dies says nothing; one
// that fails in good order says that it goes.
func (c *crowd) goodbye(err error) error {
	if closed, ok := errors.AsType[*client.CloseError](err); ok && (!c.mayClose || closed.Code != wire.CloseGoingAway) {
		return err
	}
	return nil
}
