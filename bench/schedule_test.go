package bench

import (
	"math"
	"testing"
	"time"
)

func TestScheduleIsPoisson(t *testing.T) {
	const rate, seconds = 1000.0, 60
	s := newSchedule(7, rate, 10, 0)
	var gaps, squares float64
	var last time.Duration
	users, n := make([]int, 10), 0
	for {
		a, ok := s.due(seconds * time.Second)
		if !ok {
			break
		}
		if a.at < last {
			t.Fatalf("%v after %v", a.at, last)
		}
		gap := (a.at - last).Seconds() * rate
		gaps, squares, last = gaps+gap, squares+gap*gap, a.at
		users[a.user]++
		n++
	}
	// Mean and deviation of the gaps are one; 60,000 of them know that to 2 %.
	mean := gaps / float64(n)
	deviation := math.Sqrt(squares/float64(n) - mean*mean)
	if math.Abs(mean-1) > 0.02 || math.Abs(deviation-1) > 0.03 {
		t.Errorf("gaps of mean %.3f and deviation %.3f", mean, deviation)
	}
	for u, of := range users {
		if math.Abs(float64(of)/float64(n)-0.1) > 0.01 {
			t.Errorf("user %d has %d of %d", u, of, n)
		}
	}
}

// TestScheduleWaitsForNobody asks it once a second, and by the millisecond: the
// moments are the same.
func TestScheduleWaitsForNobody(t *testing.T) {
	collect := func(step time.Duration) []arrival {
		s := newSchedule(3, 500, 4, time.Second)
		var all []arrival
		for now := time.Second; now <= 5*time.Second; now += step {
			for a, ok := s.due(now); ok; a, ok = s.due(now) {
				if a.at > now {
					t.Fatalf("%v at %v", a.at, now)
				}
				all = append(all, a)
			}
		}
		return all
	}
	late, exact := collect(time.Second), collect(time.Millisecond)
	if len(late) != len(exact) || len(late) < 1500 {
		t.Fatalf("%d and %d arrivals", len(late), len(exact))
	}
	for i := range late {
		if late[i] != exact[i] {
			t.Fatalf("arrival %d is %v and %v", i, late[i], exact[i])
		}
	}
}

func TestPacerSleepsLongEnough(t *testing.T) {
	p, err := newPacer()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, d := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 3 * time.Millisecond} {
		start := time.Now()
		if err := p.sleep(d); err != nil {
			t.Fatal(err)
		}
		if slept := time.Since(start); slept < d {
			t.Errorf("slept %v of %v", slept, d)
		}
	}
}

func TestLatencyPercentiles(t *testing.T) {
	l := newLatencies()
	for i := range 1000 {
		d := []time.Duration{time.Duration(i+1) * time.Millisecond}
		l.record(int32(i), d, nil)
	}
	l.record(3, nil, []time.Duration{time.Hour, -time.Second})
	ack, deliver := l.merged()
	metrics := map[string]float64{}
	addPercentiles(metrics, "ack", ack)
	addPercentiles(metrics, "deliver", deliver)
	for name, want := range map[string]float64{
		"ack_ms_p50": 500, "ack_ms_p90": 900, "ack_ms_p99": 990, "ack_ms_p999": 999, "ack_ms_max": 1000,
		"deliver_ms_max": float64(latencyMax.Milliseconds()), "deliver_ms_p50": 0,
	} {
		if got := metrics[name]; math.Abs(got-want) > want/500 {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	empty := map[string]float64{}
	if addPercentiles(empty, "none", newHistogram()); len(empty) > 0 {
		t.Errorf("percentiles of nothing: %v", empty)
	}
}

func TestArrivalsKeepTheirOrder(t *testing.T) {
	var q arrivals
	next, want := time.Duration(0), time.Duration(0)
	for round := range 1000 {
		for range round % 7 {
			q.push(next)
			next++
		}
		for range min(round%5, q.len()) {
			if got := q.pop(); got != want {
				t.Fatalf("%d, not %d", got, want)
			}
			want++
		}
		if q.len() != int(next-want) {
			t.Fatalf("%d wait, not %d", q.len(), next-want)
		}
	}
	if cap(q.at) > 4*(q.len()+8) {
		t.Errorf("%d wait in the memory of %d", q.len(), cap(q.at))
	}
}
