package parley

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrBadID reports text that does not name a conversation or a user.
var ErrBadID = errors.New("bad id")

// TenantID separates customers who share one store. It stands in every key
// from the first day; a store with one customer uses DefaultTenant.
type TenantID uint32

// DefaultTenant is the tenant of tokens that name none.
const DefaultTenant TenantID = 0

// ConversationID names a conversation: a UUID made by the server or, for a
// direct conversation, derived from its two members.
type ConversationID [16]byte

// UserID names a user inside the server. It is random, given at the first
// login, and never says who the user is: the token's subject stands in the
// user's row alone.
type UserID [16]byte

// DeviceID names one device of a user: random, made by the client and kept with
// its outbox. The zero id stands for the clients that name none.
type DeviceID [16]byte

// PartitionID names conversations that share one order of commands.
type PartitionID uint16

// StreamID names one client's outbox: 32 bits of birth time (seconds since
// 1970) above 32 random bits.
type StreamID uint64

// Number is the position of a send in its stream and conversation: 1, 2, 3.
type Number uint32

// Birth is the second in which the stream was given out.
func (s StreamID) Birth() uint32 { return uint32(s >> 32) }

// String is the id as 8-4-4-4-12 hexadecimal digits.
func (id ConversationID) String() string { return uuidString(id) }

// String is the id as 8-4-4-4-12 hexadecimal digits.
func (id UserID) String() string { return uuidString(id) }

// String is the id as 8-4-4-4-12 hexadecimal digits.
func (id DeviceID) String() string { return uuidString(id) }

// IsZero reports whether the id stands for the clients that name none.
func (id DeviceID) IsZero() bool { return id == DeviceID{} }

// IsZero reports whether the id names nothing.
func (id ConversationID) IsZero() bool { return id == ConversationID{} }

// IsZero reports whether the id names nobody.
func (id UserID) IsZero() bool { return id == UserID{} }

// ParseConversationID reads what String wrote. It returns ErrBadID for
// anything else.
func ParseConversationID(s string) (ConversationID, error) {
	id, err := parseUUID(s)
	return ConversationID(id), err
}

// ParseUserID reads what String wrote. It returns ErrBadID for anything else.
func ParseUserID(s string) (UserID, error) {
	id, err := parseUUID(s)
	return UserID(id), err
}

// DirectConversation is the id of the conversation between two users of a
// tenant, whoever of them asks: the first 16 bytes of SHA-256 over the tenant
// and the two ids in ascending order, marked as a UUID of version 8. Creating
// it twice is therefore harmless.
func DirectConversation(tenant TenantID, a, b UserID) ConversationID {
	if string(b[:]) < string(a[:]) {
		a, b = b, a
	}
	var in [36]byte
	binary.LittleEndian.PutUint32(in[:], uint32(tenant))
	copy(in[4:], a[:])
	copy(in[20:], b[:])
	sum := sha256.Sum256(in[:])
	id := ConversationID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

func uuidString(id [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}

func parseUUID(s string) (id [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("%w: %q", ErrBadID, clip(s))
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return [16]byte{}, fmt.Errorf("%w: %q", ErrBadID, clip(s))
	}
	return id, nil
}

// clip shortens hostile text before it is quoted in an error.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}
