package demo

import (
	"math"
	"slices"
	"time"

	"github.com/parleychat/parley"
)

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// directsMax bounds the main person's direct conversations.
const directsMax = 16

// directs are the main person's direct conversations in the order of people,
// so that each way in which one can stand in a list is there, and each of the
// words for its time. unread of endsTheirs is how many more scripts were written.
var directs = [directsMax]struct {
	age    time.Duration
	share  float64
	ending ending
	unread int
	marked bool
}{
	{age: 2 * minute, share: 300},                              // the closest
	{age: 9 * minute, share: 40, ending: endsTheirs},           //
	{age: 50 * minute, share: 8},                               // Arabic
	{age: 3 * hour, share: 6},                                  // Hebrew
	{age: 5 * hour, share: 40, ending: endsRead},               //
	{age: 20 * hour, share: 25, ending: endsDelivered},         //
	{age: 28 * hour, share: 20, ending: endsTheirs, unread: 2}, //
	{age: 2 * day, share: 15, ending: endsSent},                //
	{age: 3 * day, share: 12, marked: true},                    //
	{age: 5 * day, share: 10},                                  //
	{age: 8 * day, share: 8, ending: endsRead},                 //
	{age: 13 * day, share: 6, ending: endsTheirs},              //
	{age: 30 * day, share: 5},                                  //
	{age: 70 * day, share: 4, ending: endsSent},                //
	{age: 200 * day, share: 3},                                 //
	{age: 400 * day, share: 2, ending: endsDelivered},          //
}

// livelyMax bounds those who live on.
const livelyMax = 5

// stages are all rooms of the world, the main person's first.
func (p *planner) stages() []stage {
	var all []stage
	users := len(p.world.people)
	for i := 1; i < users && i <= directsMax; i++ {
		d := directs[i-1]
		s := stage{
			kind: parley.Direct, decks: []string{"direct"}, people: []int{mainPerson, i}, rhythm: leisure,
			age: d.age, share: d.share, ending: d.ending, marked: d.marked,
		}
		if d.ending == endsTheirs {
			s.unread = d.unread
		}
		switch {
		case i == arabicPerson:
			s.decks = []string{"arabic"}
		case i == hebrewPerson:
			s.decks = []string{"hebrew"}
		case d.ending == endsEven || d.ending == endsRead:
			if len(p.world.lively) < livelyMax && !d.marked {
				p.world.lively = append(p.world.lively, i)
			}
		}
		all = append(all, s)
	}
	all = append(all, p.groups()...)
	all = append(all, p.others()...)
	if users > directsMax+1 { // made, and nothing said yet
		all = append(all, stage{kind: parley.Direct, people: []int{mainPerson, users - 1}, rhythm: leisure, age: 4 * day})
	}
	return all
}

// groups are the main person's groups. What each has of people is cut down to
// what there is.
func (p *planner) groups() []stage {
	added := func(after float64, by int, who ...int) due {
		return due{after, change{event: parley.EventAdded, by: by, who: who}}
	}
	role := func(after float64, by, who int) due {
		return due{after, change{event: parley.EventRole, by: by, who: []int{who}, role: parley.RoleAdmin}}
	}
	left := func(after float64, who int) due { return due{after, change{event: parley.EventLeft, by: who}} }
	renamed := func(after float64, by int, title string) due {
		return due{after, change{event: parley.EventRenamed, by: by, title: title}}
	}
	var all []stage
	group := func(title, deck string, size int, age time.Duration, share float64, r *rhythm, firsts ...int) *stage {
		all = append(all, stage{
			kind: parley.Group, title: title, decks: []string{deck}, people: p.members(size, firsts...),
			rhythm: r, age: age, share: share,
		})
		return &all[len(all)-1]
	}

	s := group("Family", "family", 5, 15*minute, 80, leisure, closest, mainPerson)
	s.changes = []due{renamed(0.2, closest, "Family 🏡"), role(0.3, closest, mainPerson)}
	s.unread = 3
	if last := s.people[len(s.people)-1]; len(s.people) > 3 {
		s.people = s.people[:len(s.people)-1]
		s.changes = append(s.changes, added(0.4, closest, last))
	}

	s = group("Harbour release", "work", 8, 70*minute, 70, office, mainPerson)
	if n := len(s.people); n > 5 {
		gone, late := s.people[n-1], s.people[n-2]
		s.people = slices.Delete(s.people, n-2, n-1)
		s.changes = []due{role(0.1, mainPerson, s.people[1]), left(0.6, gone), added(0.7, s.people[1], late)}
	}
	s.unread = 12

	s = group("Thursday football ⚽", "football", 11, 26*hour, 50, leisure, 2)
	if n := len(s.people); n > 5 {
		gone := s.people[n-1]
		s.changes = []due{{0.5, change{event: parley.EventRemoved, by: s.people[0], who: []int{gone}}}, added(0.8, s.people[0], gone)}
	}

	group("Book club", "books", 6, 4*day, 30, leisure)

	s = group("Elm Street", "neighbours", 200, 6*minute, 70, leisure)
	s.unread, s.muted = 240, true
	if n := len(s.people); n > 8 {
		s.changes = []due{added(0.5, s.people[0], s.people[n-3:]...), role(0.55, s.people[0], s.people[1]), left(0.9, s.people[2])}
		s.people = s.people[:n-3]
	}

	s = group("Autumn trip", "trip", 4, 90*day, 15, leisure)
	s.changes = []due{renamed(0.3, s.people[0], "Lisbon by train 🚆")}

	s = group("Flat hunting", "flat", 3, 12*day, 4, leisure, closest)
	s.changes = []due{left(0.9, mainPerson)}
	return all
}

// members are so many people: those who must be first, the main person, and
// others as the seed has it.
func (p *planner) members(size int, firsts ...int) []int {
	people := slices.Clone(firsts)
	order := p.rng.Perm(len(p.world.people))
	if !slices.Contains(people, mainPerson) {
		if len(people) == 0 { // somebody else has made it
			order = slices.DeleteFunc(order, func(i int) bool { return i == mainPerson })
			people = append(people, order[0])
		}
		people = append(people, mainPerson)
	}
	for _, i := range order {
		if len(people) >= min(size, len(p.world.people)) {
			break
		}
		if !slices.Contains(people, i) {
			people = append(people, i)
		}
	}
	return people
}

// others are conversations to which the main person does not belong, so that
// whoever logs in as another finds some, too.
func (p *planner) others() []stage {
	var all []stage
	n := len(p.world.people)
	known := make(map[[2]int]bool)
	for i := 1; i < n; i++ {
		j := 1 + p.rng.IntN(n-1)
		pair := [2]int{min(i, j), max(i, j)}
		if i == j || known[pair] {
			continue
		}
		known[pair] = true
		all = append(all, stage{
			kind: parley.Direct, decks: []string{"direct"}, people: []int{i, j}, rhythm: leisure,
			age:   time.Duration(float64(10*minute) * math.Pow(8000, p.rng.Float64())),
			share: 150 / float64(n),
		})
	}
	return all
}
