package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parleychat/parley"
)

// world is a plan: who there is, what they have together, and what happens in
// which order. It knows no store.
type world struct {
	people []person
	rooms  []*room
	events []event
	lively []int // who lives on
}

// room is a conversation of the plan.
type room struct {
	kind   parley.ConversationKind
	title  string
	people []int // who is there from the beginning, its maker first
	acts   []act
	muted  bool // by the main person
	marked bool // as unread, by the main person

	// Of the performance: where it stands.
	play performance
	act  int
	line int
}

// act is one script that is played, or one change of the room.
type act struct {
	script *script
	skip   int // lines that are left out at its beginning
	cast   [voicesMax]int
	change *change
}

// change is what the server tells as a message of its own.
type change struct {
	event parley.EventType
	by    int
	who   []int
	role  parley.Role
	title string
}

// event is what happens at one moment.
type event struct {
	at   int64 // microseconds
	room int32
	who  int32
	what eventKind
}

type eventKind uint8

const (
	eventCreate    eventKind = iota
	eventNext                // the next line or change of the room
	eventDelivered           // a member's device has got all so far
	eventRead                // a member has read all so far
	eventMute
	eventMark
	eventDevice // the main person's next device comes
)

// stage is what a room is to become.
type stage struct {
	kind    parley.ConversationKind
	title   string
	decks   []string // the files of its scripts
	people  []int
	rhythm  *rhythm
	age     time.Duration // of its newest message
	share   float64       // of all messages
	ending  ending
	unread  int // how many of the newest the main person shall not have read
	muted   bool
	marked  bool
	changes []due
}

// due is a change, after a part of the messages.
type due struct {
	after float64
	change
}

// ending is how a direct conversation stands in the main person's list.
type ending uint8

const (
	endsEven ending = iota // all is read
	endsTheirs
	endsRead
	endsDelivered
	endsSent
)

// planner makes a world, room by room.
type planner struct {
	o       Options
	library *library
	rng     *rand.Rand
	world   *world
	odd     picker // what looks strange; of all rooms, so that all of it is somewhere
}

// The seed has a generator of its own for each purpose, so that what one draws
// does not change what another one gets.
const (
	forPlan = iota
	forCalendar
	forTexts
	forLife
)

func generator(seed uint64, purpose, of int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(purpose)<<32|uint64(of)))
}

// plan makes the world of some options, which are checked and complete.
func plan(o Options) (*world, error) {
	l, err := loadLibrary()
	if err != nil {
		return nil, err
	}
	p := &planner{o: o, library: l, rng: generator(o.Seed, forPlan, 0), world: &world{}}
	p.odd = picker{p: p, bag: slices.Clone(l.scripts[rawScripts])}
	slices.Reverse(p.odd.bag) // markup is first, and so in the longest conversation
	p.world.people = populate(o.Users, p.rng)
	stages := p.stages()
	all := 0.0
	for i := range stages {
		all += stages[i].share
	}
	sum, given := 0.0, 0
	for _, d := range mainDevices {
		p.add(p.o.ago(1-d.comes).UnixMicro(), 0, mainPerson, eventDevice)
	}
	for i := range stages {
		sum += stages[i].share
		upTo := int(math.Round(sum / all * float64(o.Messages)))
		p.build(&stages[i], upTo-given)
		given = upTo
	}
	slices.SortStableFunc(p.world.events, func(a, b event) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	return p.world, nil
}

// picker deals scripts so that all of a deck come before one comes again, and
// not soon after.
type picker struct {
	p     *planner
	decks []string
	bag   []*script // the next is the last
	dealt []*script
}

func (k *picker) next() *script {
	if len(k.bag) == 0 {
		if k.dealt == nil {
			for _, d := range k.decks {
				k.bag = append(k.bag, k.p.library.scripts[d]...)
			}
			k.shuffle(k.bag)
		} else { // those dealt last wait for those dealt first
			slices.Reverse(k.dealt)
			half := len(k.dealt) / 2
			k.shuffle(k.dealt[:half])
			k.shuffle(k.dealt[half:])
			k.bag, k.dealt = k.dealt, nil
		}
	}
	s := k.bag[len(k.bag)-1]
	k.bag = k.bag[:len(k.bag)-1]
	k.dealt = append(k.dealt, s)
	return s
}

func (k *picker) shuffle(scripts []*script) {
	k.p.rng.Shuffle(len(scripts), func(i, j int) { scripts[i], scripts[j] = scripts[j], scripts[i] })
}

// endingMin is how many messages a conversation must have to be given an ending.
const endingMin = 12

// build plans a room of n messages.
func (p *planner) build(s *stage, n int) {
	id := len(p.world.rooms)
	r := &room{kind: s.kind, title: s.title, people: s.people, muted: s.muted, marked: s.marked}
	r.play = performance{
		library: p.library, rng: generator(p.o.Seed, forTexts, id), filled: make(map[string]string),
	}
	r.play.friend = func() string { return p.world.people[r.play.rng.IntN(len(p.world.people))].given() }
	p.world.rooms = append(p.world.rooms, r)

	var last []act
	if n >= endingMin {
		last = p.ending(s)
	}
	acts := p.acts(s, n-lines(last))
	acts = append(acts, last...)
	present, talks := p.stageActs(s, r, acts, n)

	until := p.o.Until.UnixMicro()
	newest := until - int64(s.age/time.Microsecond)
	start := p.o.start().Add(time.Duration(p.rng.Float64() * 0.2 * p.o.Years * year)).UnixMicro()
	newest = max(newest, until-(until-start)/2) // a short history ends not long ago
	c := &calendar{rng: generator(p.o.Seed, forCalendar, id), place: p.o.Until.Location()}
	dates := c.dates(s.rhythm, start, newest, talks)
	created := newest
	if len(dates) > 0 {
		created = max(dates[0]-int64(1+p.rng.IntN(5))*60e6, (start+dates[0])/2)
	}
	p.add(created, id, 0, eventCreate)
	for _, at := range dates {
		p.add(at, id, 0, eventNext)
	}
	p.marks(s, id, dates, present)
}

func (p *planner) add(at int64, room, who int, what eventKind) {
	p.world.events = append(p.world.events, event{at: at, room: int32(room), who: int32(who), what: what})
}

func lines(acts []act) (n int) {
	for i := range acts {
		n += len(acts[i].script.lines) - acts[i].skip
	}
	return n
}

// acts deals scripts of n lines together. Of the first one the beginning may be
// missing.
func (p *planner) acts(s *stage, n int) []act {
	k := &picker{p: p, decks: s.decks}
	var acts []act // the last first
	for n > 0 {
		next := k.next()
		if s.kind == parley.Direct && s.decks[0] == "direct" && (len(acts) == 2 || p.rng.IntN(50) == 0) {
			next = p.odd.next()
		}
		skip := max(len(next.lines)-n, 0)
		acts = append(acts, act{script: next, skip: skip})
		n -= len(next.lines) - skip
	}
	slices.Reverse(acts)
	return acts
}

// ending is what one of a direct conversation has written last, in a row.
func (p *planner) ending(s *stage) (acts []act) {
	if s.ending == endsEven {
		return nil
	}
	k := &picker{p: p, decks: []string{"mono"}}
	for range 1 + s.unread {
		acts = append(acts, act{script: k.next()})
	}
	return acts
}

// stageActs casts the acts and puts the changes between them. It returns who is
// there in the end, and how many messages each talk has.
func (p *planner) stageActs(s *stage, r *room, acts []act, n int) (present []int, talks []int) {
	present = slices.Clone(s.people)
	changes := s.changes
	if n < endingMin {
		changes = nil
	}
	played, talk := 0, 0
	end := func() {
		if talk > 0 {
			talks = append(talks, talk)
			talk = 0
		}
	}
	for i := range acts {
		a := acts[i]
		for len(changes) > 0 && float64(played) >= changes[0].after*float64(n) {
			end()
			present = changes[0].apply(present)
			r.acts = append(r.acts, act{change: &changes[0].change})
			talks = append(talks, 1)
			changes = changes[1:]
		}
		size := len(a.script.lines) - a.skip
		quiet := -1
		switch {
		case s.kind == parley.Direct && s.ending == endsTheirs && a.script.voices == 1:
			quiet = mainPerson
		case s.kind == parley.Direct && s.ending != endsEven && a.script.voices == 1:
			quiet = s.people[1]
		case s.kind == parley.Group && n-played-size < s.unread:
			quiet = mainPerson
		}
		a.cast = p.cast(present, quiet, s.kind == parley.Direct)
		r.acts = append(r.acts, a)
		played += size
		talk += size
		if p.rng.IntN(100) < 55 {
			end()
		}
	}
	end()
	return present, talks
}

// apply is who belongs after a change.
func (c *change) apply(present []int) []int {
	switch c.event {
	case parley.EventAdded:
		return append(present, c.who...)
	case parley.EventRemoved:
		return slices.DeleteFunc(present, func(i int) bool { return slices.Contains(c.who, i) })
	case parley.EventLeft:
		return slices.DeleteFunc(present, func(i int) bool { return i == c.by })
	}
	return present
}

// cast gives the voices of a script to members; those who stand first in a group
// talk most. Who is quiet gets none.
func (p *planner) cast(present []int, quiet int, direct bool) (cast [voicesMax]int) {
	rest := slices.DeleteFunc(slices.Clone(present), func(i int) bool { return i == quiet })
	if direct {
		p.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		for v := range cast {
			cast[v] = rest[v%len(rest)]
		}
		return cast
	}
	for v := range cast {
		if v >= len(rest) {
			cast[v] = cast[v%len(rest)]
			continue
		}
		at := v + int(math.Pow(p.rng.Float64(), 1.7)*float64(len(rest)-v))
		cast[v] = rest[at]
		rest = slices.Insert(slices.Delete(rest, at, at+1), 0, cast[v])
	}
	return cast
}

// marks plans how far each member has got and read: all of it mostly, in the
// main person's conversations as their ending says.
func (p *planner) marks(s *stage, id int, dates []int64, present []int) {
	total := len(dates)
	if total == 0 {
		return
	}
	own := p.world.rooms[id].newestOwn()
	for _, who := range present {
		delivered, read := total, total
		switch {
		case who == mainPerson && s.ending == endsTheirs:
			read = total - lines(p.world.rooms[id].monologue())
		case who == mainPerson:
			read = total - min(s.unread, total)
		case s.ending == endsDelivered:
			read = total - lines(p.world.rooms[id].monologue())
		case s.ending == endsSent:
			read = total - lines(p.world.rooms[id].monologue())
			delivered = read
		case s.people[0] == mainPerson && s.kind == parley.Direct:
		case p.rng.IntN(100) < 40:
			read -= min(int(p.rng.ExpFloat64()*float64(total)/40), total)
			if p.rng.IntN(3) > 0 {
				delivered = read + p.rng.IntN(total-read+1)
			}
		}
		read = max(read, own[who])
		delivered = max(delivered, read)
		p.mark(id, who, dates, read, eventRead)
		if delivered > read {
			p.mark(id, who, dates, delivered, eventDelivered)
		}
	}
	latest := min(dates[total-1]+marksWithin, p.o.Until.UnixMicro()) // behind the marks
	if s.muted {
		p.add(latest, id, mainPerson, eventMute)
	}
	if s.marked {
		p.add(latest, id, mainPerson, eventMark)
	}
}

// marksWithin is how soon after a message its readers are there, in microseconds.
const marksWithin = 60e6

// mark has a member reach a place, soon after what stands there was said and
// before the next.
func (p *planner) mark(id, who int, dates []int64, upTo int, what eventKind) {
	if upTo == 0 {
		return
	}
	at := dates[upTo-1]
	next := p.o.Until.UnixMicro()
	if upTo < len(dates) {
		next = dates[upTo]
	}
	p.add(at+min(5e6+p.rng.Int64N(marksWithin-5e6), (next-at)/2), id, who, what)
}

// newestOwn is behind which message of the room each has written his last. What
// one has written one has seen.
func (r *room) newestOwn() map[int]int {
	own, at := make(map[int]int), 0
	for i := range r.acts {
		a := &r.acts[i]
		if a.change != nil {
			at++
			continue
		}
		for _, l := range a.script.lines[a.skip:] {
			at++
			own[a.cast[l.voice]] = at
		}
	}
	return own
}

// monologue is the acts at the end in which one speaks alone.
func (r *room) monologue() []act {
	at := len(r.acts)
	for at > 0 && r.acts[at-1].change == nil && r.acts[at-1].script.voices == 1 {
		at--
	}
	return r.acts[at:]
}

// next is what happens next in a room: a line and who says it, or a change.
func (r *room) next() (from int, text string, c *change) {
	a := &r.acts[r.act]
	if a.change != nil {
		r.act++
		return 0, "", a.change
	}
	if r.line == 0 {
		r.play.begin()
	}
	l := &a.script.lines[a.skip+r.line]
	if r.line++; a.skip+r.line == len(a.script.lines) {
		r.act, r.line = r.act+1, 0
	}
	return a.cast[l.voice], r.play.say(l), nil
}
