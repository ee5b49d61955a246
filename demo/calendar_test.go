package demo

import (
	"slices"
	"testing"
	"time"
)

// TestPeopleSleep counts who talks when: few at night, and those at work hardly
// at the weekend.
func TestPeopleSleep(t *testing.T) {
	o := small()
	o.Users, o.Messages = 24, 20_000
	w, err := plan(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	work := slices.IndexFunc(w.rooms, func(r *room) bool { return r.title == "Harbour release" })
	night, all, weekend, working := 0, 0, 0, 0
	for _, e := range w.events {
		at := time.UnixMicro(e.at).UTC()
		if e.what != eventNext {
			continue
		}
		all++
		if at.Hour() >= 2 && at.Hour() < 6 {
			night++
		}
		if int(e.room) == work {
			working++
			if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
				weekend++
			}
		}
	}
	if night*50 > all {
		t.Errorf("%d of %d messages were sent in the night", night, all)
	}
	if working == 0 || weekend*20 > working {
		t.Errorf("%d of %d messages at work were sent at the weekend", weekend, working)
	}
}

// TestDatesRise has so much said in so little time that it hardly fits.
func TestDatesRise(t *testing.T) {
	for _, talks := range [][]int{{1}, {3, 1, 4}, slices.Repeat([]int{7}, 1000)} {
		for _, span := range []int64{0, 10, 60e6, 3600e6, 90 * 86400e6} {
			c := &calendar{rng: generator(1, forCalendar, 0), place: time.UTC}
			to := until.UnixMicro()
			dates := c.dates(leisure, to-span, to, talks)
			if dates[len(dates)-1] > to || !slices.IsSorted(dates) || len(slices.Compact(slices.Clone(dates))) != len(dates) {
				t.Errorf("%d talks in %d µs: not rising up to the end", len(talks), span)
			}
		}
	}
}
