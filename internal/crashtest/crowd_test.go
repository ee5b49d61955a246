package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/verify"
	"github.com/parleychat/parley/wire"
)

// crowd is the users of one folder.
type crowd struct {
	dir         string
	pipeline    int // sends in flight of one outbox
	subprotocol wire.Subprotocol
	mayClose    bool // the server may say goodbye
	quiet       bool // watermarks are left alone

	rng   *rand.Rand
	users []*user
	rooms []*room
	boxes []*box

	unanswered int // messages that a judge found, and whose receipt had not come
}

// newCrowd makes users in a ring: each talks to his neighbours, and to those
// behind them if there are enough.
func newCrowd(dir string, users, pipeline int, seed uint64, p wire.Subprotocol) (*crowd, error) {
	c := &crowd{dir: dir, pipeline: pipeline, subprotocol: p, rng: rand.New(rand.NewPCG(seed, 0))}
	for i := range users {
		u := &user{crowd: c, name: fmt.Sprintf("user-%d", i), rng: rand.New(rand.NewPCG(seed, uint64(i)+1)), rooms: make(map[parley.ConversationID]*box)}
		var err error
		if u.token, err = token(dir, u.name); err != nil {
			return nil, err
		}
		c.users = append(c.users, u)
	}
	for step := 1; step <= 2 && users > 2*step; step++ {
		for i := range users {
			c.meet(i, (i+step)%users)
		}
	}
	return c, nil
}

func (c *crowd) meet(a, b int) {
	r := &room{a: a, b: b}
	c.rooms = append(c.rooms, r)
	for _, i := range []int{a, b} {
		x := &box{user: c.users[i], room: r, at: uint32(len(c.boxes))}
		c.boxes = append(c.boxes, x)
		x.user.boxes = append(x.user.boxes, x)
	}
}

// run has all users connect, see that everything is as it was judged, and talk
// until the server is gone, which meanwhile sees to.
func (c *crowd) run(s *server, judged *verify.Report, meanwhile func() error) error {
	if err := c.connect(s.url(), judged); err != nil {
		if c.mayClose && c.ended(s) {
			return nil
		}
		s.kill()
		c.part()
		return err
	}
	errs := make(chan error, len(c.users))
	var talking sync.WaitGroup
	for _, u := range c.users {
		talking.Go(func() {
			if err := u.talk(); err != nil {
				errs <- fmt.Errorf("%s: %w", u.name, err)
				s.kill()
			}
		})
	}
	err := meanwhile()
	s.kill()
	talking.Wait()
	c.part()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// ended waits for a server that is failing.
func (c *crowd) ended(s *server) bool {
	defer c.part()
	return s.exits(1) == nil
}

func (c *crowd) part() {
	for _, u := range c.users {
		if u.conn != nil {
			_ = u.conn.Close()
		}
	}
}

// connect brings everybody in, and then has nothing said before all have looked.
func (c *crowd) connect(url string, judged *verify.Report) error {
	for _, u := range c.users {
		if err := u.connect(url); err != nil {
			return err
		}
	}
	if judged != nil {
		if err := c.compare(judged); err != nil {
			return err
		}
	}
	for _, r := range c.rooms {
		a, b := c.users[r.a], c.users[r.b]
		m, err := a.ask(&wire.Request{Create: &wire.Create{Peer: b.name}})
		if err != nil {
			return err
		}
		if m.State == nil {
			return fmt.Errorf("create: %v", m)
		}
		r.id = parley.ConversationID(m.State.Conversation)
	}
	for _, b := range c.boxes {
		b.user.rooms[b.room.id] = b
	}
	return nil
}

func (c *crowd) figures() (sum figures) {
	for _, u := range c.users {
		sum.add(u.figures)
	}
	return sum
}
