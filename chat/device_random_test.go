package chat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// TestDevicesRandom has devices come, go, be shut out and be lost in crashes, at
// random, and holds what is known of them to a model. PARLEY_SEED runs one seed,
// PARLEY_SEEDS that many.
func TestDevicesRandom(t *testing.T) {
	seeds := uint64(20)
	if underRace {
		seeds = 5
	}
	first, last := uint64(1), setting(t, "PARLEY_SEEDS", seeds)
	if one := setting(t, "PARLEY_SEED", 0); one > 0 {
		first, last = one, one
	}
	for seed := first; seed <= last; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { newRandomDevices(t, seed).run(300) })
		if !ok {
			t.Fatalf("repeat with: PARLEY_SEED=%d go test ./chat -run TestDevicesRandom", seed)
		}
	}
}

// randomDevices is one seed on its way.
type randomDevices struct {
	*world
	mem   *vfs.MemFS
	rng   *rand.Rand
	users []*modelUser
	beats map[uint64]time.Time // by epoch
}

// modelUser is what the rules say of a user: slow, and easy to believe.
type modelUser struct {
	Login
	subject string
	profile Profile
	devices []*modelDevice // in the order in which they came first
	shut    []Device
	gone    time.Time // of devices that are forgotten
}

type modelDevice struct {
	Device
	created, at time.Time
	epoch       uint64 // 0: not online
}

func newRandomDevices(t *testing.T, seed uint64) *randomDevices {
	x := &randomDevices{mem: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 1)), beats: make(map[uint64]time.Time)}
	x.world = &world{t: t, fs: x.mem, opts: testOptions(Options{}), clock: newClock(), sent: make(map[sender]parley.Number)}
	x.opts.Engine.Now = x.clock.now
	x.start()
	t.Cleanup(func() { x.check(x.Close()) })
	for n := range 3 {
		u := &modelUser{subject: fmt.Sprint("user ", n)}
		x.users = append(x.users, u)
		x.come(u, Device{})
	}
	return x
}

func (x *randomDevices) run(steps int) {
	for range steps {
		x.step()
		if x.compare(); x.t.Failed() {
			return
		}
	}
}

func (x *randomDevices) step() {
	u := x.users[x.rng.IntN(len(x.users))]
	d := phone(byte(1+x.rng.IntN(24)), x.clock.now().Add(time.Duration(x.rng.IntN(7200))*time.Second))
	if d.Token[14] = byte(x.rng.IntN(3)); x.rng.IntN(8) == 0 {
		d.ID = parley.DeviceID{}
	}
	d.TokenExpires = d.TokenExpires.Truncate(time.Microsecond)
	switch k := x.rng.IntN(100); {
	case k < 40:
		x.come(u, d)
	case k < 65:
		x.leave(u, d.ID)
	case k < 72:
		x.revoke(u, d.ID)
	case k < 80:
		x.setProfile(u)
	case k < 86:
		at := x.clock.now()
		x.Beat(at)
		x.beats[x.epoch] = at
	case k < 92:
		x.clock.pass(time.Duration(x.rng.IntN(int(time.Hour))))
	case k < 95:
		x.flush()
	case k < 97:
		x.restart()
	default:
		x.sync() // what nobody waited for
		killed := x.mem.CrashClone(vfs.CrashCloneCfg{})
		x.check(x.Close())
		x.mem, x.fs = killed, killed
		x.clock.pass(time.Minute)
		x.start()
	}
	x.sync()
}

func (x *randomDevices) find(u *modelUser, id parley.DeviceID) *modelDevice {
	i := slices.IndexFunc(u.devices, func(d *modelDevice) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return u.devices[i]
}

// barred reports whether the rules keep a device out.
func (u *modelUser) barred(d Device, now time.Time) bool {
	return slices.ContainsFunc(u.shut, func(s Device) bool {
		return !d.ID.IsZero() && s.ID == d.ID || d.Token != [16]byte{} && s.Token == d.Token && now.Before(s.TokenExpires)
	})
}

func (u *modelUser) forget(d *modelDevice) {
	if u.devices = slices.DeleteFunc(u.devices, func(o *modelDevice) bool { return o == d }); d.at.After(u.gone) {
		u.gone = d.at
	}
}

// come logs in. The stamp is not known before: the model takes it over from the
// service, which may not show an earlier one than the clock's.
func (x *randomDevices) come(u *modelUser, d Device) {
	before := x.clock.now()
	l, err := x.loginWith(u.subject, d)
	if after := x.clock.now(); u.barred(d, before) != u.barred(d, after) {
		return // the token ends in this moment
	} else if u.barred(d, after) {
		want(x.t, err, parley.Revoked)
		return
	}
	x.check(err)
	u.Login = l
	m := x.find(u, d.ID)
	if m == nil {
		named := slices.Clone(u.devices)
		named = slices.DeleteFunc(named, func(d *modelDevice) bool { return d.ID.IsZero() })
		if !d.ID.IsZero() && len(named) == 16 {
			u.forget(slices.MinFunc(named, func(a, b *modelDevice) int {
				switch here, there := a.epoch == x.epoch, b.epoch == x.epoch; {
				case here == there:
					return a.at.Compare(b.at)
				case here:
					return 1
				}
				return -1
			}))
		}
		m = &modelDevice{}
		u.devices = append(u.devices, m)
	}
	list := x.Devices(u.Identity)
	i := slices.IndexFunc(list, func(s DeviceState) bool { return s.ID == d.ID })
	if i < 0 {
		x.t.Fatalf("%v came and is not there", d.ID)
	}
	at := list[i].Seen
	if at.Before(before) || at.After(x.clock.now()) {
		x.t.Errorf("%v came at %v, not before %v", d.ID, at, before)
	}
	if m.created.IsZero() {
		m.created = at
	}
	m.Device, m.at, m.epoch = d, at, x.epoch
}

func (x *randomDevices) leave(u *modelUser, id parley.DeviceID) {
	at := x.clock.now()
	if x.rng.IntN(6) == 0 {
		at = at.Add(-time.Duration(x.rng.IntN(int(time.Hour)))) // late news
	}
	at = at.Truncate(time.Microsecond)
	x.Seen([]Seen{{u.User, id, at}})
	switch m := x.find(u, id); {
	case m == nil && at.After(u.gone):
		u.gone = at
	case m != nil && !at.Before(m.at):
		m.at, m.epoch = at, 0
	}
}

func (x *randomDevices) revoke(u *modelUser, id parley.DeviceID) {
	err := x.Revoke(x.t.Context(), u.Identity, id)
	m := x.find(u, id)
	switch {
	case m != nil:
		x.check(err)
		u.forget(m)
		u.shut = append(u.shut, m.Device)
		u.shut = u.shut[max(len(u.shut)-32, 0):]
	case u.barred(Device{ID: id}, x.clock.now()):
		x.check(err)
	default:
		want(x.t, err, parley.BadRequest)
	}
}

func (x *randomDevices) setProfile(u *modelUser) {
	var to ProfileChange
	name, picture, privacy := fmt.Sprint("name ", x.rng.IntN(9)), fmt.Sprint("picture ", x.rng.IntN(9)), parley.Privacy(x.rng.IntN(3))
	if x.rng.IntN(2) == 0 {
		to.Name, u.profile.Name = &name, name
	}
	if x.rng.IntN(2) == 0 {
		to.Picture, u.profile.Picture = &picture, picture
	}
	if x.rng.IntN(2) == 0 {
		to.LastSeenTo, u.profile.LastSeenTo = &privacy, privacy
	}
	got, err := x.SetProfile(x.t.Context(), u.Identity, to)
	x.check(err)
	if got != u.profile {
		x.t.Errorf("the profile became %+v; the model says %+v", got, u.profile)
	}
}

// seen is when a device was there last.
func (x *randomDevices) seen(d *modelDevice) time.Time {
	if beat := x.beats[d.epoch]; d.epoch != x.epoch && beat.After(d.at) {
		return beat
	}
	return d.at
}

// compare holds all that is known to the model.
func (x *randomDevices) compare() {
	for _, u := range x.users {
		last := u.gone
		var expect []DeviceState
		for _, d := range u.devices {
			expect = append(expect, DeviceState{d.ID, d.Name, d.Platform, d.created, x.seen(d)})
			if at := x.seen(d); at.After(last) {
				last = at
			}
		}
		if got := x.Devices(u.Identity); !slices.EqualFunc(got, expect, func(a, b DeviceState) bool {
			return a.ID == b.ID && a.Name == b.Name && a.Platform == b.Platform && a.Created.Equal(b.Created) && a.Seen.Equal(b.Seen)
		}) {
			x.t.Errorf("%s has the devices\n%v; the model says\n%v", u.subject, got, expect)
		}
		if got := x.LastSeen(u.User); !got.Equal(last) {
			x.t.Errorf("%s was seen at %v; the model says %v", u.subject, got, last)
		}
		if got, ok := x.Profile(u.User); !ok || got != u.profile {
			x.t.Errorf("%s shows %+v, %v; the model says %+v", u.subject, got, ok, u.profile)
		}
	}
}
