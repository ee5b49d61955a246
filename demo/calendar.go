package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// rhythm says how likely people talk in each hour, in percent of their busiest.
type rhythm struct {
	weekday, weekend [24]uint8
}

var (
	leisure = &rhythm{
		weekday: [24]uint8{4, 1, 0, 0, 0, 0, 3, 15, 22, 14, 14, 18, 38, 30, 18, 20, 28, 45, 65, 85, 100, 95, 60, 20},
		weekend: [24]uint8{12, 6, 2, 0, 0, 0, 0, 4, 15, 35, 55, 60, 60, 50, 50, 50, 55, 65, 75, 85, 95, 95, 75, 40},
	}
	office = &rhythm{
		weekday: [24]uint8{0, 0, 0, 0, 0, 0, 0, 4, 40, 95, 100, 85, 50, 70, 95, 90, 75, 35, 8, 3, 2, 1, 0, 0},
		weekend: [24]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0},
	}
)

func (r *rhythm) at(t time.Time) int {
	if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
		return int(r.weekend[t.Hour()])
	}
	return int(r.weekday[t.Hour()])
}

// calendar draws the moments at which people talk.
type calendar struct {
	rng   *rand.Rand
	place *time.Location
}

// drawsMax bounds how often a moment is drawn anew because people sleep then. A
// span that is all night is talked through all the same.
const drawsMax = 200

// draw is a moment between two others, in microseconds; people talk a little more
// from year to year.
func (c *calendar) draw(r *rhythm, from, to int64) int64 {
	at := from
	for range drawsMax {
		at = from + int64(math.Pow(c.rng.Float64(), 0.75)*float64(max(to-from, 1)))
		if c.rng.IntN(100) < r.at(time.UnixMicro(at).In(c.place)) {
			break
		}
	}
	return at
}

// dates gives each of the talks' lines its moment between two others, the last
// one at to. Moments rise; a talk that runs into the next pushes it on.
func (c *calendar) dates(r *rhythm, from, to int64, talks []int) []int64 {
	total := 0
	for _, n := range talks {
		total += n
	}
	if total == 0 {
		return nil
	}
	span := max(to-from, int64(total)*2)
	gaps := make([]int64, total)
	sum := int64(0)
	for i := range gaps {
		gaps[i] = int64((3 + c.rng.ExpFloat64()*30) * 1e6)
		sum += gaps[i]
	}
	if sum > span/6 { // so much is said in so short a time that people hurry
		for i := range gaps {
			gaps[i] = max(int64(float64(gaps[i])*float64(span/6)/float64(sum)), 1)
		}
	}
	last := len(talks) - 1
	length := int64(0)
	for _, g := range gaps[total-talks[last]+1:] {
		length += g
	}
	starts := make([]int64, len(talks))
	for i := range starts[:last] {
		starts[i] = c.draw(r, from, to-length)
	}
	starts[last] = to - length
	slices.Sort(starts)

	dates := make([]int64, 0, total)
	at := from
	for i, n := range talks {
		at = max(at+gaps[len(dates)], starts[i])
		for k := range n {
			if k > 0 {
				at += gaps[len(dates)]
			}
			dates = append(dates, at)
		}
	}
	for i, latest := total-1, to; i >= 0; i-- { // what was pushed past the end
		if dates[i] <= latest {
			break
		}
		dates[i] = latest
		latest -= min(gaps[i], span/int64(2*total))
	}
	return dates
}
