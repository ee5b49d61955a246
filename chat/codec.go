package chat

import (
	"encoding/binary"

	"github.com/parleychat/parley"
)

// decoder reads little-endian fields one after the other. Past the end it
// yields zeros and is bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return make([]byte, n)
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() uint8   { return d.take(1)[0] }
func (d *decoder) u16() uint16 { return binary.LittleEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) user() parley.UserID                 { return parley.UserID(d.take(16)) }
func (d *decoder) device() parley.DeviceID             { return parley.DeviceID(d.take(16)) }
func (d *decoder) digest() [16]byte                    { return [16]byte(d.take(16)) }
func (d *decoder) conversation() parley.ConversationID { return parley.ConversationID(d.take(16)) }

// text is a length in one byte and as many bytes.
func (d *decoder) text() string { return string(d.take(int(d.u8()))) }

// longText is a length in two bytes and as many bytes.
func (d *decoder) longText() string { return string(d.take(int(d.u16()))) }

// users is a count in two bytes and as many ids.
func (d *decoder) users() []parley.UserID {
	n := int(d.u16())
	if d.bad || n*16 > len(d.b) {
		d.bad = true
		return nil
	}
	out := make([]parley.UserID, n)
	for i := range out {
		out[i] = d.user()
	}
	return out
}

// whole reports whether all was read and nothing was missing.
func (d *decoder) whole() bool { return !d.bad && len(d.b) == 0 }

func appendU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
func appendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func appendText(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

func appendUsers(b []byte, users []parley.UserID) []byte {
	b = appendU16(b, uint16(len(users)))
	for _, u := range users {
		b = append(b, u[:]...)
	}
	return b
}
