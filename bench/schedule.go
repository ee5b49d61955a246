package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// schedule is the arrivals of an open loop: a Poisson process of a rate over
// all users. It is fixed before the first message is sent and waits for nobody,
// so that what comes late is charged to whoever was late.
type schedule struct {
	random *rand.Rand
	mean   float64 // nanoseconds between arrivals
	users  int
	next   arrival
}

// arrival is one message that somebody wants to send.
type arrival struct {
	at   time.Duration // since the beginning
	user int
}

// newSchedule makes the arrivals from a time on.
func newSchedule(seed uint64, perSecond float64, users int, from time.Duration) *schedule {
	s := &schedule{random: rand.New(rand.NewPCG(seed, 0x5EED)), mean: float64(time.Second) / perSecond, users: users}
	s.next.at = from
	s.advance()
	return s
}

func (s *schedule) advance() {
	gap := -math.Log(1-s.random.Float64()) * s.mean
	s.next = arrival{s.next.at + time.Duration(gap), s.random.IntN(s.users)}
}

// due returns the earliest arrival that was not returned, if its time has come.
func (s *schedule) due(now time.Duration) (arrival, bool) {
	if s.next.at > now {
		return arrival{}, false
	}
	a := s.next
	s.advance()
	return a, true
}

// arrivals is a queue of the intended times of messages that wait for room in
// one user's connection.
type arrivals struct {
	at   []time.Duration
	head int
}

// dueMax bounds a queue of arrivals; past it the server is so far behind that
// the run means nothing.
const dueMax = 1 << 16

func (q *arrivals) len() int { return len(q.at) - q.head }

func (q *arrivals) push(at time.Duration) {
	if q.head > 0 && q.head >= len(q.at)/2 {
		q.at, q.head = q.at[:copy(q.at, q.at[q.head:])], 0
	}
	q.at = append(q.at, at)
}

func (q *arrivals) pop() time.Duration {
	q.head++
	return q.at[q.head-1]
}
