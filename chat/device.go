package chat

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Device is one that connects, as it presents itself.
type Device struct {
	ID       parley.DeviceID // zero: a client that names none
	Name     string          // up to 64 bytes
	Platform string          // up to 32 bytes
	// Token is the beginning of the SHA-256 of the token that it comes with, so
	// that revoking the device ends the token too; TokenExpires is until when it
	// matters.
	Token        [16]byte
	TokenExpires time.Time
}

// DeviceState is what a user is shown of one of his devices.
type DeviceState struct {
	ID             parley.DeviceID // zero: all clients that name none
	Name, Platform string
	Created        time.Time
	Seen           time.Time // while it is online, when it connected
}

// Seen says when a device that has gone was there last.
type Seen struct {
	User   parley.UserID
	Device parley.DeviceID
	At     time.Time
}

// connect writes down that a device has come. Where the disk is nearly full that
// cannot be, and reading goes on: it is let in unless what is known shuts it out.
func (s *Service) connect(ctx context.Context, by parley.Identity, d *Device) error {
	if err := checkText("device name", d.Name, deviceNameMax); err != nil {
		return err
	}
	if err := checkText("platform", d.Platform, platformNameMax); err != nil {
		return err
	}
	err := s.appendAccount(ctx, by, kindConnect, appendConnect(nil, by.User, d, s.epoch))
	if errors.Is(err, parley.DiskFull) {
		return s.admit(by, d)
	}
	return err
}

// admit refuses a device that is shut out.
func (s *Service) admit(by parley.Identity, d *Device) (err error) {
	now := s.now().UnixMicro()
	s.engine.View(s.place(by.User), func(v *engine.View) {
		if a := accountOf(v, by.User); a != nil && a.barred(d.ID, d.Token, now) {
			err = parley.Revoked
		}
	})
	return err
}

// appendAccount applies a command about a user's account. That it may make the
// row is no growth which is refused where memory is full: then who is known could
// not come back, and there are no more accounts than users.
func (s *Service) appendAccount(ctx context.Context, by parley.Identity, kind uint8, body []byte) error {
	return s.append(ctx, s.place(by.User), by.Tenant, kind, body)
}

// seenMax bounds the devices of one batch to the log.
const seenMax = 1024

// Seen writes down when devices were there last: those who have no session any
// more. It waits for nothing, and returns those whom the log refuses now, of whom it
// may be told again. Where the store has ended it does nothing; what is lost by that
// was there at the last Beat.
func (s *Service) Seen(gone []Seen) (refused []Seen) {
	for len(gone) > 0 {
		n := min(len(gone), seenMax)
		cmds := make([]engine.Command, n)
		for i := range gone[:n] {
			cmds[i] = engine.Command{
				Partition: s.place(gone[i].User), Kind: kindSeen, Version: commandVersion, Tenant: s.tenant(gone[i].User), Body: appendSeen(nil, &gone[i]),
			}
		}
		if code, ok := errors.AsType[parley.Code](s.tellLog(cmds)); ok && code.Retry() {
			return gone
		}
		gone = gone[n:]
	}
	return nil
}

// tenant is a user's.
func (s *Service) tenant(u parley.UserID) (t parley.TenantID) {
	s.engine.View(s.place(u), func(v *engine.View) {
		if slot := v.Find(userKey(u)); slot != nil {
			t = slot.Row().(*user).tenant
		}
	})
	return t
}

// Beat writes down that this process lives. What it has online is taken to have
// been there at the last beat, should it be killed. Like Seen it waits for
// nothing.
func (s *Service) Beat(at time.Time) {
	_ = s.tellLog([]engine.Command{{ // the next comes soon
		Partition: s.place(beatsKey.A), Kind: kindBeat, Version: commandVersion, Body: appendBeat(nil, s.epoch, micros(at)),
	}})
}

// tellLog appends commands whose outcome nobody waits for.
func (s *Service) tellLog(cmds []engine.Command) error {
	return s.engine.Append(&engine.Batch{Commands: cmds, Done: func(*engine.Batch) {}})
}

// Devices lists a user's devices, in the order in which they came first. The
// nameless one, with the zero id, is among them if a client without a name ever
// connected.
func (s *Service) Devices(by parley.Identity) []DeviceState {
	var list []DeviceState
	s.engine.View(s.place(by.User), func(v *engine.View) {
		a := accountOf(v, by.User)
		if a == nil {
			return
		}
		for i := range a.devices {
			d := &a.devices[i]
			list = append(list, DeviceState{d.id, d.name, d.platform, timeOf(d.created), timeOf(s.seenAt(d))})
		}
	})
	return list
}

// seenAt is when a device was there last: for one that a process had online when
// it was killed, the last beat of that process.
func (s *Service) seenAt(d *accountDevice) int64 {
	if d.epoch == 0 || d.epoch == s.epoch {
		return d.at
	}
	return max(d.at, s.earlier.of(d.epoch))
}

// beats is a copy of the signs of life of processes.
func (s *Service) beats() (r beats) {
	s.engine.View(s.place(beatsKey.A), func(v *engine.View) {
		if slot := v.Find(beatsKey); slot != nil {
			r.epochs = slices.Clone(slot.Row().(*beats).epochs)
		}
	})
	return r
}

// LastSeen is when some device of a user was there last, forgotten ones among them;
// zero if never. Of who is online now it says when he came.
func (s *Service) LastSeen(u parley.UserID) time.Time {
	at := int64(0)
	s.engine.View(s.place(u), func(v *engine.View) {
		a := accountOf(v, u)
		if a == nil {
			return
		}
		at = a.gone
		for i := range a.devices {
			at = max(at, s.seenAt(&a.devices[i]))
		}
	})
	if at == 0 {
		return time.Time{}
	}
	return timeOf(at)
}

// Revoke shuts a device out: it is forgotten, and neither its id nor the token
// that it came with last is let in again. The sockets that it has are the
// caller's to end, afterwards. A device that is not known is parley.BadRequest.
func (s *Service) Revoke(ctx context.Context, by parley.Identity, d parley.DeviceID) error {
	return s.appendAccount(ctx, by, kindRevoke, appendDevice(nil, by.User, d))
}

// micros is a time in a command; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMicro(), 0)
}
