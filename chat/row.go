package chat

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// The tables beside engine.TableConversation.
const (
	tableSettings uint8 = 2
	tableSubject  uint8 = 3
	tableUser     uint8 = 4
	tableAccount  uint8 = 5
	tableBeats    uint8 = 6
)

const rowVersion = 1

// conversation is the row of a conversation. Its members are inside.
//
//	version (1) tenant (4) kind (1) title (text) created (8) changed (8)
//	hour (4) ordinal (8) version (8) members: count (2), each
//	  user (16) role (1) flags (1) muted until (8) delivered (8) read (8)
//	  ordinal at read (8) own at read (8) own (8) last own (8) left (8)
//	  intervals: count (1), each from (8) to (8)
//	  streams (see engine.Streams)
//
// Times are microseconds since 1970. Members stand in ascending order and are
// never taken out: who left has role 0, and left is the conversation's version
// with which he did.
type conversation struct {
	tenant  parley.TenantID
	kind    parley.ConversationKind
	title   string
	created int64
	changed int64  // stamp of the newest change that some device shows
	hour    uint32 // in which the members' lists were stamped last
	ordinal parley.Ordinal
	version parley.Version
	members []member

	present int // members now: those with a role; counted when the row is read
}

type member struct {
	user      parley.UserID
	role      parley.Role // 0: not a member now
	unread    bool        // marked as unread by himself
	muted     int64       // until
	delivered parley.Seq
	read      parley.Seq
	ordinal   parley.Ordinal // at read
	ownAtRead uint64         // his counting messages up to read
	own       uint64         // his counting messages
	lastOwn   parley.Seq     // the newest of them
	left      parley.Version // with which he left last
	belongs   []parley.SeqRange
	streams   engine.Streams
}

const (
	flagUnread = 1 << iota
)

// AppendTo implements engine.Row.
func (c *conversation) AppendTo(b []byte) []byte {
	b = append(b, rowVersion)
	b = appendU32(b, uint32(c.tenant))
	b = append(b, byte(c.kind))
	b = appendText(b, c.title)
	b = appendU64(b, uint64(c.created))
	b = appendU64(b, uint64(c.changed))
	b = appendU32(b, c.hour)
	b = appendU64(b, uint64(c.ordinal))
	b = appendU64(b, uint64(c.version))
	b = appendU16(b, uint16(len(c.members)))
	for i := range c.members {
		b = c.members[i].appendTo(b)
	}
	return b
}

func (m *member) appendTo(b []byte) []byte {
	b = append(b, m.user[:]...)
	b = append(b, byte(m.role))
	flags := byte(0)
	if m.unread {
		flags |= flagUnread
	}
	b = append(b, flags)
	b = appendU64(b, uint64(m.muted))
	for _, v := range [...]uint64{uint64(m.delivered), uint64(m.read), uint64(m.ordinal), m.ownAtRead, m.own, uint64(m.lastOwn), uint64(m.left)} {
		b = appendU64(b, v)
	}
	b = append(b, byte(len(m.belongs)))
	for _, r := range m.belongs {
		b = appendU64(b, uint64(r.From))
		b = appendU64(b, uint64(r.To))
	}
	return m.streams.AppendTo(b)
}

func decodeConversation(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	if v := d.u8(); v != rowVersion {
		return nil, fmt.Errorf("%w: conversation row of version %d", engine.ErrCorrupt, v)
	}
	c := &conversation{
		tenant: parley.TenantID(d.u32()), kind: parley.ConversationKind(d.u8()), title: d.text(),
		created: int64(d.u64()), changed: int64(d.u64()), hour: d.u32(),
		ordinal: parley.Ordinal(d.u64()), version: parley.Version(d.u64()),
	}
	n := int(d.u16())
	for range n {
		if d.bad {
			break
		}
		var m member
		if err := m.decode(&d); err != nil {
			return nil, err
		}
		if k := len(c.members); k > 0 && bytes.Compare(c.members[k-1].user[:], m.user[:]) >= 0 {
			return nil, fmt.Errorf("%w: members of a conversation row are out of order", engine.ErrCorrupt)
		}
		c.members = append(c.members, m)
		if m.role != 0 {
			c.present++
		}
	}
	if !d.whole() {
		return nil, fmt.Errorf("%w: conversation row of %d bytes", engine.ErrCorrupt, len(b))
	}
	return c, nil
}

func (m *member) decode(d *decoder) error {
	m.user, m.role = d.user(), parley.Role(d.u8())
	flags := d.u8()
	m.unread = flags&flagUnread != 0
	m.muted = int64(d.u64())
	m.delivered, m.read = parley.Seq(d.u64()), parley.Seq(d.u64())
	m.ordinal, m.ownAtRead = parley.Ordinal(d.u64()), d.u64()
	m.own, m.lastOwn, m.left = d.u64(), parley.Seq(d.u64()), parley.Version(d.u64())
	for range d.u8() {
		m.belongs = append(m.belongs, parley.SeqRange{From: parley.Seq(d.u64()), To: parley.Seq(d.u64())})
	}
	switch {
	case d.bad:
		return fmt.Errorf("%w: member row ends early", engine.ErrCorrupt)
	case len(m.belongs) == 0 || m.role > parley.RoleOwner || flags&^flagUnread != 0:
		return fmt.Errorf("%w: member row with role %d, %d intervals, flags %x", engine.ErrCorrupt, m.role, len(m.belongs), flags)
	}
	rest, err := m.streams.Decode(d.b)
	d.b = rest
	return err
}

// find is the place of a user among the members, whether he belongs or did. It
// is a search by hand because slices.BinarySearchFunc would copy a member, to
// the heap, at every step.
func (c *conversation) find(u parley.UserID) (int, bool) {
	from, to := 0, len(c.members)
	for from < to {
		middle := (from + to) / 2
		switch order := bytes.Compare(c.members[middle].user[:], u[:]); {
		case order == 0:
			return middle, true
		case order < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return from, false
}

// fewMembers are looked through faster than searched: the first step is right
// half the time in a direct conversation, and comparing for equality is cheap.
const fewMembers = 8

// member is a user's place, nil if he is no member now.
func (c *conversation) member(u parley.UserID) *member {
	if len(c.members) <= fewMembers {
		for i := range c.members {
			if m := &c.members[i]; m.user == u {
				return m.present()
			}
		}
		return nil
	}
	if i, ok := c.find(u); ok {
		return c.members[i].present()
	}
	return nil
}

// present is the member, nil if he left.
func (m *member) present() *member {
	if m.role == 0 {
		return nil
	}
	return m
}

// join makes a user a member from the message at seq on, which he need not
// have read: nothing before it counts for him.
func (c *conversation) join(u parley.UserID, role parley.Role, seq parley.Seq) {
	i, ok := c.find(u)
	if !ok {
		c.members = slices.Insert(c.members, i, member{user: u})
	}
	c.present++
	m := &c.members[i]
	m.role = role
	m.belongs = append(m.belongs, parley.SeqRange{From: max(seq, 1)})
	m.delivered, m.read = max(m.delivered, seq), max(m.read, seq)
	m.ordinal, m.ownAtRead = c.ordinal, m.own
	m.unread = false
}

// leave ends a membership with the message at seq.
func (c *conversation) leave(m *member, seq parley.Seq) {
	c.present--
	m.role = 0
	m.belongs[len(m.belongs)-1].To = seq
}

// intervalsMax bounds how often a user may come back: a row stays small, and
// the count fits its byte.
const intervalsMax = 200

// placesMax bounds the places of a row, of members and of those who were: a
// group with endless coming and going must not grow one without end.
const placesMax = 10_000

func (m *member) marks() parley.Watermarks {
	return parley.Watermarks{Delivered: m.delivered, Read: m.read}
}

// counts are what a member's unread count follows from.
func (c *conversation) counts(m *member) parley.Counts {
	return parley.Counts{Ordinal: c.ordinal, ReadOrdinal: m.ordinal, Own: m.own, OwnAtRead: m.ownAtRead}
}

// subject is the row of a token's subject: it leads to the user and holds no
// text. The key's A is subjectKey's hash.
//
//	version (1) user (16)
type subject struct{ id parley.UserID }

// AppendTo implements engine.Row.
func (s *subject) AppendTo(b []byte) []byte {
	return append(append(b, rowVersion), s.id[:]...)
}

func decodeSubject(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	v := d.u8()
	s := &subject{id: d.user()}
	if v != rowVersion || !d.whole() {
		return nil, fmt.Errorf("%w: subject row of %d bytes, version %d", engine.ErrCorrupt, len(b), v)
	}
	return s, nil
}

// user is the row of a user, by his id, and the only place where his subject
// stands: without it nothing says who he is.
//
//	version (1) tenant (4) created (8) subject (text)
type user struct {
	tenant  parley.TenantID
	created int64
	subject string
}

// AppendTo implements engine.Row.
func (u *user) AppendTo(b []byte) []byte {
	b = appendU32(append(b, rowVersion), uint32(u.tenant))
	return appendText(appendU64(b, uint64(u.created)), u.subject)
}

func decodeUser(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	v := d.u8()
	u := &user{tenant: parley.TenantID(d.u32()), created: int64(d.u64()), subject: d.text()}
	if v != rowVersion || !d.whole() {
		return nil, fmt.Errorf("%w: user row of %d bytes, version %d", engine.ErrCorrupt, len(b), v)
	}
	return u, nil
}

// settings is what apply obeys in one partition. A logged command changes it,
// so that every replay decides as the first apply did.
//
//	version (1) body max (4) group max (2) fan-out max (2)
type settings struct {
	bodyMax   uint32
	groupMax  uint16
	fanoutMax uint16
}

// defaultSettings hold until a command says otherwise. They never change: an
// old log is replayed under them.
var defaultSettings = settings{bodyMax: 60 << 10, groupMax: 500, fanoutMax: 50}

// AppendTo implements engine.Row.
func (s *settings) AppendTo(b []byte) []byte {
	return s.appendBody(append(b, rowVersion))
}

func (s *settings) appendBody(b []byte) []byte {
	b = appendU32(b, s.bodyMax)
	b = appendU16(b, s.groupMax)
	return appendU16(b, s.fanoutMax)
}

func decodeSettings(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	v := d.u8()
	s := d.settings()
	if v != rowVersion || !d.whole() {
		return nil, fmt.Errorf("%w: settings row of %d bytes, version %d", engine.ErrCorrupt, len(b), v)
	}
	return s, nil
}

func (d *decoder) settings() *settings {
	return &settings{bodyMax: d.u32(), groupMax: d.u16(), fanoutMax: d.u16()}
}
