package bench

import (
	"time"

	"github.com/parleychat/parley/wire"
)

// slot is a request that waits for its reply. Its id on the wire is its index
// and a turn, so that a reply to an earlier user of the slot is known as such.
type slot struct {
	kind     slotKind
	turn     uint16
	place    int32
	number   uint32
	intended time.Duration
	request  *wire.Request // of other, to be sent again
	then     func(*wire.ServerMessage)
}

type slotKind uint8

const (
	slotFree slotKind = iota
	slotSend
	slotCreate
	slotPull
	slotOther
)

// slotsMax bounds the requests of one user that wait for a reply.
const slotsMax = 1 << 15

// occupy finds a slot for a request.
func (u *user) occupy(s slot) (uint16, bool) {
	n := len(u.free)
	if n == 0 {
		if len(u.slots) == slotsMax {
			return 0, false
		}
		s.turn = 1
		u.slots = append(u.slots, s)
		return uint16(len(u.slots) - 1), true
	}
	i := u.free[n-1]
	u.free = u.free[:n-1]
	s.turn = u.slots[i].turn + 1
	if s.turn == 0 {
		s.turn = 1
	}
	u.slots[i] = s
	return i, true
}

func (u *user) release(i uint16) {
	turn := u.slots[i].turn
	u.slots[i] = slot{turn: turn}
	u.free = append(u.free, i)
}
