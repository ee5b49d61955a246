package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parleychat/parley"
)

// Command is a record of the log, by docs/format/record.md and chat.md.
type Command struct {
	Partition parley.PartitionID
	Kind      uint8
	Version   uint8
	Tenant    parley.TenantID
	Index     uint64
	Time      int64
	Body      any // *Settings, *User, *Create … ; nil for a kind unknown here
}

// The bodies of commands.
type (
	// Settings changes what apply obeys.
	Settings struct {
		BodyMax             uint32
		GroupMax, FanoutMax uint16
	}
	// User gives a subject its id.
	User struct {
		User    parley.UserID
		Subject string
	}
	// Create makes a conversation.
	Create struct {
		Conversation parley.ConversationID
		Actor        parley.UserID
		Kind         parley.ConversationKind
		Title        string
		Users        []parley.UserID
	}
	// Add makes users members.
	Add struct {
		Conversation parley.ConversationID
		Actor        parley.UserID
		Users        []parley.UserID
	}
	// Remove ends a membership.
	Remove struct {
		Conversation  parley.ConversationID
		Actor, Member parley.UserID
	}
	// Role gives a member a role.
	Role struct {
		Conversation  parley.ConversationID
		Actor, Member parley.UserID
		Role          parley.Role
	}
	// Send is a message.
	Send struct {
		Conversation parley.ConversationID
		From         parley.UserID
		Stream       parley.StreamID
		Number       parley.Number
		Kind         parley.Kind
		Hash         uint32
		Size         int
	}
	// Mark raises watermarks.
	Mark struct {
		Conversation parley.ConversationID
		User         parley.UserID
		Delivered    parley.Seq
		Read         parley.Seq
		Ordinal      parley.Ordinal
		Own          uint64
	}
	// Prefer changes a member's own settings.
	Prefer struct {
		Conversation parley.ConversationID
		User         parley.UserID
		What         uint8
		Value        uint64
	}
	// Rename gives a group another title.
	Rename struct {
		Conversation parley.ConversationID
		Actor        parley.UserID
		Title        string
	}
	// Account is one of the commands about users and their devices, which change
	// nothing of a conversation and of which the model keeps nothing.
	Account struct{}
)

// fields reads little-endian fields one after the other.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) next(n int) []byte {
	if n > len(f.b) {
		f.short = true
		f.b = nil
		return make([]byte, n)
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) num(n int) uint64 {
	var b [8]byte
	copy(b[:], f.next(n))
	return binary.LittleEndian.Uint64(b[:])
}

func (f *fields) user() parley.UserID         { return parley.UserID(f.next(16)) }
func (f *fields) conv() parley.ConversationID { return parley.ConversationID(f.next(16)) }
func (f *fields) text() string                { return string(f.next(int(f.num(1)))) }

func (f *fields) users() (list []parley.UserID) {
	for range f.num(2) {
		if f.short {
			return nil
		}
		list = append(list, f.user())
	}
	return list
}

// DecodeRecord reads a record of the log.
func DecodeRecord(b []byte) (*Command, error) {
	f := &fields{b: b}
	c := &Command{
		Partition: parley.PartitionID(f.num(2)), Kind: uint8(f.num(1)), Version: uint8(f.num(1)),
		Tenant: parley.TenantID(f.num(4)),
	}
	f.num(4) // key
	f.num(4) // term
	c.Index, c.Time = f.num(8), int64(f.num(8))
	if f.short {
		return nil, fmt.Errorf("record of %d bytes", len(b))
	}
	if c.Version != 1 {
		return c, nil
	}
	c.Body = f.body(c.Kind)
	if f.short || len(f.b) > 0 {
		c.Body = nil // the server refuses it
	}
	return c, nil
}

func (f *fields) body(kind uint8) any {
	switch kind {
	case 1:
		return &Settings{uint32(f.num(4)), uint16(f.num(2)), uint16(f.num(2))}
	case 2:
		return &User{f.user(), f.text()}
	case 3:
		return &Create{f.conv(), f.user(), parley.ConversationKind(f.num(1)), f.text(), f.users()}
	case 4:
		return &Add{f.conv(), f.user(), f.users()}
	case 5:
		return &Remove{f.conv(), f.user(), f.user()}
	case 6:
		return &Role{f.conv(), f.user(), f.user(), parley.Role(f.num(1))}
	case 7:
		return f.send()
	case 8:
		return f.mark()
	case 9:
		return &Prefer{f.conv(), f.user(), uint8(f.num(1)), f.num(8)}
	case 10:
		return &Rename{f.conv(), f.user(), f.text()}
	case 11, 12, 13, 14, 15:
		f.b = nil
		return &Account{}
	}
	return nil
}

func (f *fields) send() *Send {
	s := &Send{Conversation: f.conv(), From: f.user(), Stream: parley.StreamID(f.num(8)), Number: parley.Number(f.num(4))}
	if len(f.b) == 0 {
		f.short = true
		return s
	}
	s.Hash = crc32.Checksum(f.b, castagnoli)
	s.Kind = parley.Kind(f.num(1))
	s.Size = len(f.b)
	f.b = nil
	return s
}

func (f *fields) mark() *Mark {
	return &Mark{
		Conversation: f.conv(), User: f.user(), Delivered: parley.Seq(f.num(8)), Read: parley.Seq(f.num(8)),
		Ordinal: parley.Ordinal(f.num(8)), Own: f.num(8),
	}
}

// row is a conversation's row, by docs/format/chat.md.
type row struct {
	last, segment    uint64
	tenant           parley.TenantID
	kind             parley.ConversationKind
	title            string
	created, changed int64
	hour             uint32
	ordinal          parley.Ordinal
	version          uint64
	members          []rowMember
}

type rowMember struct {
	user            parley.UserID
	role            parley.Role
	unread          bool
	muted           int64
	delivered, read parley.Seq
	ordinal         parley.Ordinal
	ownAtRead, own  uint64
	lastOwn         parley.Seq
	left            uint64
	belongs         []parley.SeqRange
	forgotten       uint32
	streams         []stream
}

func decodeConversationRow(b []byte) (*row, error) {
	f := &fields{b: b}
	r := &row{last: f.num(8), segment: f.num(8)}
	v := f.num(1)
	if v != 1 && !f.short {
		return nil, fmt.Errorf("version %d", v)
	}
	r.tenant, r.kind, r.title = parley.TenantID(f.num(4)), parley.ConversationKind(f.num(1)), f.text()
	r.created, r.changed, r.hour = int64(f.num(8)), int64(f.num(8)), uint32(f.num(4))
	r.ordinal, r.version = parley.Ordinal(f.num(8)), f.num(8)
	for range f.num(2) {
		if f.short {
			break
		}
		r.members = append(r.members, f.member())
	}
	return r, f.end(b, v)
}

func (f *fields) member() rowMember {
	m := rowMember{user: f.user(), role: parley.Role(f.num(1)), unread: f.num(1)&1 != 0, muted: int64(f.num(8))}
	m.delivered, m.read, m.ordinal = parley.Seq(f.num(8)), parley.Seq(f.num(8)), parley.Ordinal(f.num(8))
	m.ownAtRead, m.own, m.lastOwn, m.left = f.num(8), f.num(8), parley.Seq(f.num(8)), f.num(8)
	for range f.num(1) {
		m.belongs = append(m.belongs, parley.SeqRange{From: parley.Seq(f.num(8)), To: parley.Seq(f.num(8))})
	}
	m.forgotten = uint32(f.num(4))
	for range f.num(1) {
		m.streams = append(m.streams, stream{
			id: parley.StreamID(f.num(8)), last: parley.Number(f.num(4)), seq: parley.Seq(f.num(8)), hash: uint32(f.num(4)),
		})
	}
	return m
}

// userRow is a user's row.
type userRow struct {
	partition parley.PartitionID
	tenant    parley.TenantID
	created   int64
	subject   string
}

func decodeUserRow(b []byte) (userRow, error) {
	f := &fields{b: b}
	f.next(16) // last, segment: of no meaning here
	v := f.num(1)
	u := userRow{tenant: parley.TenantID(f.num(4)), created: int64(f.num(8)), subject: f.text()}
	return u, f.end(b, v)
}

// subjectRow leads from a subject's hash to a user.
type subjectRow struct {
	partition parley.PartitionID
	user      parley.UserID
}

func decodeSubjectRow(b []byte) (subjectRow, error) {
	f := &fields{b: b}
	f.next(16) // last, segment: of no meaning here
	v := f.num(1)
	s := subjectRow{user: f.user()}
	return s, f.end(b, v)
}

func decodeSettingsRow(b []byte) (settings, error) {
	f := &fields{b: b}
	f.next(16) // last, segment: of no meaning here
	v := f.num(1)
	s := settings{uint32(f.num(4)), uint16(f.num(2)), uint16(f.num(2))}
	return s, f.end(b, v)
}

// accountRow is what a user shows of himself, and his devices.
type accountRow struct{ partition parley.PartitionID }

// decodeAccountRow holds an account to its bounds.
func decodeAccountRow(b []byte) (accountRow, error) {
	f := &fields{b: b}
	f.next(16) // last, segment: of no meaning here
	v, privacy, name := f.num(1), f.num(1), f.text()
	picture := f.next(int(f.num(2)))
	named := 0
	ids := make(map[[16]byte]bool)
	for range f.num(1) {
		id := [16]byte(f.next(16))
		if id != [16]byte{} {
			named++
		}
		if ids[id] && !f.short {
			return accountRow{}, fmt.Errorf("device %x stands there twice", id)
		}
		ids[id] = true
		if len(f.text()) > 64 || len(f.text()) > 32 {
			return accountRow{}, errors.New("a device's name or platform is too long")
		}
		f.next(8 + 8 + 8 + 16 + 8)
	}
	shut := f.num(1)
	for range shut {
		f.next(16 + 16 + 8)
	}
	if privacy > 2 || len(name) > 100 || len(picture) > 512 || named > 16 || shut > 32 {
		return accountRow{}, fmt.Errorf("privacy %d, name of %d bytes, picture of %d, %d devices, %d revoked", privacy, len(name), len(picture), named, shut)
	}
	f.next(8) // when a device that is forgotten was there last
	return accountRow{}, f.end(b, v)
}

// decodeBeatsRow holds the epochs of server processes to their order.
func decodeBeatsRow(b []byte) error {
	f := &fields{b: b}
	f.next(16) // last, segment: of no meaning here
	v, n, before := f.num(1), f.num(1), uint64(0)
	for range n {
		epoch := f.num(8)
		f.num(8)
		if epoch <= before && !f.short {
			return fmt.Errorf("epoch %d follows %d", epoch, before)
		}
		before = epoch
	}
	if n < 1 || n > 64 {
		return fmt.Errorf("%d epochs", n)
	}
	return f.end(b, v)
}

// end holds a row to its version, and to its bytes all being read.
func (f *fields) end(b []byte, version uint64) error {
	switch {
	case f.short || len(f.b) > 0:
		return fmt.Errorf("%d bytes, of which %d are left over", len(b), len(f.b))
	case version != 1:
		return fmt.Errorf("version %d", version)
	}
	return nil
}
