package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
)

// Prepare fills an empty folder with a world, or finds the one that it was
// filled with before, whatever the options say then. When ctx ends, or anything
// fails, what was begun stays in the folder and Find refuses it.
func Prepare(ctx context.Context, dir string, o Options) (w World, err error) {
	if err := o.Check(); err != nil {
		return World{}, err
	}
	if found, err := Find(dir); err != nil || found != nil {
		if found != nil {
			w = *found
		}
		return w, err
	}
	o = o.withDefaults()
	plan, err := plan(o)
	if err != nil {
		return World{}, err
	}
	w = World{
		Version: worldVersion, Seed: o.Seed, Users: o.Users, Messages: o.Messages, Years: o.Years, Until: o.Until,
		Main: plan.people[mainPerson].subject, Second: plan.people[second].subject,
	}
	for _, i := range plan.lively {
		w.Lively = append(w.Lively, plan.people[i].subject)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return World{}, fmt.Errorf("demo: %w", err)
	}
	if err := w.save(dir); err != nil {
		return World{}, fmt.Errorf("demo: %w", err)
	}
	if err := fill(ctx, dir, plan, o); err != nil {
		return World{}, fmt.Errorf("demo: fill: %w", err)
	}
	w.Filled = true
	if err := w.save(dir); err != nil {
		return World{}, fmt.Errorf("demo: %w", err)
	}
	return w, nil
}

// pendingMax bounds the sends that are on their way through the log: so many are
// durable with one write.
const pendingMax = 4096

// filler puts a plan into a store.
type filler struct {
	ctx     context.Context
	o       Options
	plan    *world
	clock   atomic.Int64 // microseconds
	service *chat.Service
	logins  []chat.Login
	devices []filledDevice // the first of each person, and then what comes
	rooms   []filledRoom
	free    chan *parcel // those not on their way
	failed  atomic.Pointer[error]
	sent    int // messages
}

// filledRoom is a room in the store.
type filledRoom struct {
	id      parley.ConversationID
	numbers map[int]parley.Number // the last of each person
	pending atomic.Int32          // sends and marks on their way
}

// parcel is a batch of one send or mark: a batch has one time, and each message
// its own.
type parcel struct {
	batch *chat.Batch
	room  *filledRoom
}

func fill(ctx context.Context, dir string, plan *world, o Options) (err error) {
	f := &filler{
		ctx: ctx, o: o, plan: plan, rooms: make([]filledRoom, len(plan.rooms)), free: make(chan *parcel, pendingMax),
	}
	f.clock.Store(o.start().UnixMicro())
	f.service, err = chat.Open(vfs.Default, dir, chat.Options{Engine: engine.Options{
		Now:    func() time.Time { return time.UnixMicro(f.clock.Load()) },
		Logger: o.Logger,
	}})
	if err != nil {
		return err
	}
	for range pendingMax {
		p := &parcel{}
		p.batch = f.service.NewBatch(func(*chat.Batch) { f.done(p) })
		f.free <- p
	}
	if err = f.people(); err == nil {
		err = f.history()
	}
	f.drain()
	if err == nil {
		f.leave()
	}
	if failed := f.failed.Load(); failed != nil && err == nil {
		err = *failed
	}
	return errors.Join(err, f.service.Close())
}

// filledDevice is one that has logged in.
type filledDevice struct {
	who  int
	id   parley.DeviceID
	seen int64 // microseconds, when it was there last
}

// people has everybody log in for the first time, and say who he is.
func (f *filler) people() error {
	for i := range f.plan.people {
		p := &f.plan.people[i]
		login, err := f.login(i, 0, phoneName, phonePlatform)
		if err != nil {
			return err
		}
		f.logins = append(f.logins, login)
		to := chat.ProfileChange{Name: &p.name, Picture: &p.picture}
		if i > closest && i%7 == 0 {
			nobody := parley.Nobody
			to.LastSeenTo = &nobody
		}
		if _, err := f.service.SetProfile(f.ctx, login.Identity, to); err != nil {
			return err
		}
	}
	return nil
}

// login has a person come with a device for the first time.
func (f *filler) login(who, nth int, name, platform string) (chat.Login, error) {
	subject := f.plan.people[who].subject
	d := filledDevice{who: who, id: deviceID(f.o.Seed, subject, nth), seen: f.clock.Load()}
	f.devices = append(f.devices, d)
	return f.service.Login(f.ctx, parley.DefaultTenant, subject, chat.Device{ID: d.id, Name: name, Platform: platform})
}

// leave writes down when each device was there last.
func (f *filler) leave() {
	seen := make([]chat.Seen, len(f.devices))
	for i, d := range f.devices {
		seen[i] = chat.Seen{User: f.logins[d.who].User, Device: d.id, At: time.UnixMicro(d.seen)}
	}
	for seen = f.service.Seen(seen); len(seen) > 0 && f.ctx.Err() == nil; seen = f.service.Seen(seen) {
		time.Sleep(time.Millisecond) // a log file is being made
	}
}

func (f *filler) history() error {
	for i, e := range f.plan.events {
		if i%1024 == 0 {
			f.o.Progress(f.sent, f.o.Messages)
			if err := f.ctx.Err(); err != nil {
				return err
			}
			if failed := f.failed.Load(); failed != nil {
				return *failed
			}
		}
		f.clock.Store(e.at)
		if err := f.happen(&e); err != nil {
			return err
		}
	}
	f.o.Progress(f.sent, f.o.Messages)
	return nil
}

func (f *filler) happen(e *event) error {
	plan, room := f.plan.rooms[e.room], &f.rooms[e.room]
	switch e.what {
	case eventCreate:
		return f.create(plan, room)
	case eventNext:
		from, text, c := plan.next()
		if c != nil {
			return f.change(room, c)
		}
		f.devices[from].seen = e.at
		return f.send(room, from, text)
	case eventDelivered, eventRead:
		f.devices[e.who].seen = e.at
		return f.acknowledge(room, int(e.who), e.what)
	case eventMute:
		until := f.o.Until.AddDate(1, 0, 0)
		return f.service.Mute(f.ctx, f.logins[e.who].Identity, room.id, until)
	case eventMark:
		return f.service.MarkUnread(f.ctx, f.logins[e.who].Identity, room.id, true)
	case eventDevice:
		nth := len(f.devices) - len(f.plan.people)
		d := mainDevices[nth]
		_, err := f.login(mainPerson, nth+1, d.name, d.platform)
		f.devices[len(f.devices)-1].seen = f.o.ago(d.gone).UnixMicro()
		return err
	}
	return nil
}

func (f *filler) create(plan *room, room *filledRoom) (err error) {
	room.numbers = make(map[int]parley.Number)
	by, others := f.logins[plan.people[0]].Identity, f.users(plan.people[1:])
	if plan.kind == parley.Direct {
		room.id, err = f.service.CreateDirect(f.ctx, by, others[0])
		return err
	}
	room.id, err = f.service.CreateGroup(f.ctx, by, plan.title, others)
	return err
}

func (f *filler) users(who []int) []parley.UserID {
	ids := make([]parley.UserID, len(who))
	for i, w := range who {
		ids[i] = f.logins[w].User
	}
	return ids
}

func (f *filler) change(room *filledRoom, c *change) error {
	by, who := f.logins[c.by].Identity, f.users(c.who)
	switch c.event {
	case parley.EventAdded:
		return f.service.Add(f.ctx, by, room.id, who...)
	case parley.EventRemoved:
		return f.service.Remove(f.ctx, by, room.id, who[0])
	case parley.EventLeft:
		return f.service.Leave(f.ctx, by, room.id)
	case parley.EventRole:
		return f.service.SetRole(f.ctx, by, room.id, who[0], c.role)
	case parley.EventRenamed:
		return f.service.Rename(f.ctx, by, room.id, c.title)
	}
	return nil
}

func (f *filler) send(room *filledRoom, from int, text string) error {
	f.sent++
	room.numbers[from]++
	p := <-f.free
	_, err := p.batch.Send(f.logins[from].Identity, &parley.Draft{
		Conversation: room.id, Stream: f.logins[from].Stream, Number: room.numbers[from],
		Kind: parley.KindText, Body: []byte(text),
	})
	if err != nil {
		f.free <- p
		return err
	}
	return f.append(p, room)
}

// acknowledge marks what a room has so far. What is on its way must be applied
// before: a mark reaches no further than the newest message.
func (f *filler) acknowledge(room *filledRoom, who int, what eventKind) error {
	if room.pending.Load() > 0 {
		f.drain()
	}
	all := parley.Watermarks{Delivered: math.MaxInt64}
	if what == eventRead {
		all.Read = math.MaxInt64
	}
	p := <-f.free
	if _, err := p.batch.Acknowledge(f.logins[who].Identity, chat.Acknowledgement{Conversation: room.id, Watermarks: all}); err != nil {
		f.free <- p
		return err
	}
	return f.append(p, room)
}

// overloadPause is how long to wait when the store cannot keep up.
const overloadPause = time.Millisecond

// append hands a parcel over. When the disk is behind it waits for it.
func (f *filler) append(p *parcel, room *filledRoom) error {
	p.room = room
	room.pending.Add(1)
	for {
		err := p.batch.Append()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, parley.Overloaded) && f.ctx.Err() == nil:
			time.Sleep(overloadPause)
		default:
			room.pending.Add(-1)
			f.free <- p
			return err
		}
	}
}

// done takes a parcel back. The applier calls it.
func (f *filler) done(p *parcel) {
	err := p.batch.Err()
	if err == nil {
		if code := p.batch.Outcome(0).Code; code != parley.OK {
			err = code
		}
	}
	if err != nil {
		f.failed.CompareAndSwap(nil, &err)
	}
	p.batch.Reset()
	p.room.pending.Add(-1)
	f.free <- p
}

// drain waits until nothing is on its way.
func (f *filler) drain() {
	all := make([]*parcel, pendingMax)
	for i := range all {
		all[i] = <-f.free
	}
	for _, p := range all {
		f.free <- p
	}
}
