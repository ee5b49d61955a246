package chat

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// The kinds of command. Their numbers are stored; they never change.
const (
	kindSettings uint8 = 1  // what apply obeys, in this partition
	kindUser     uint8 = 2  // a subject's first login
	kindCreate   uint8 = 3  // a conversation
	kindAdd      uint8 = 4  // members
	kindRemove   uint8 = 5  // a member, or himself
	kindRole     uint8 = 6  // of a member
	kindSend     uint8 = 7  // a message
	kindMark     uint8 = 8  // higher watermarks of a member
	kindPrefer   uint8 = 9  // a member's own settings
	kindRename   uint8 = 10 // another title for a group
	kindConnect  uint8 = 11 // a device has come
	kindSeen     uint8 = 12 // a device has gone
	kindRevoke   uint8 = 13 // a device is shut out
	kindProfile  uint8 = 14 // what a user shows of himself
	kindBeat     uint8 = 15 // a server process lives
)

// commandVersion is that of every body below.
const commandVersion = 1

// Bodies, little-endian. text is a length in one byte and the bytes; users are
// a count in two bytes and 16 bytes each.
//
//	settings  body max (4) group max (2) fan-out max (2)
//	user      user (16) subject (text)
//	create    conversation (16) actor (16) kind (1) title (text) members (users)
//	add       conversation (16) actor (16) members (users)
//	remove    conversation (16) actor (16) member (16)
//	role      conversation (16) actor (16) member (16) role (1)
//	send      conversation (16) from (16) stream (8) number (4) kind (1) body
//	mark      conversation (16) user (16) delivered (8) read (8)
//	          ordinal at read (8) own up to read (8)
//	prefer    conversation (16) user (16) what (1) value (8)
//	rename    conversation (16) actor (16) title (text)
//	connect   user (16) device (16) name (text) platform (text)
//	          token (16) token expires (8) epoch (8)
//	seen      user (16) device (16) at (8)
//	revoke    user (16) device (16)
//	profile   user (16) what (1) privacy (1) name (text)
//	          picture: length (2) and bytes
//	beat      epoch (8) at (8)
//
// In each of a conversation's the id stands first. The two facts of a mark are
// about messages that stand already and so never change; the proposer looks
// them up, for apply reads no disk. A mark that does not raise read leaves it
// and the facts 0. Each is a command of its own: several in one would save a
// third of their bytes in the log, and leave the refusal of one without an
// answer.
const sendHeaderSize = 16 + 16 + 8 + 4 + 1

// A preference of a member.
const (
	preferMute   uint8 = 1 // value: until when, in microseconds; 0 ends it
	preferUnread uint8 = 2 // value: 1 marks the conversation as unread, 0 ends it
)

type mark struct {
	conversation parley.ConversationID
	user         parley.UserID
	delivered    parley.Seq
	read         parley.Seq
	ordinal      parley.Ordinal // at read
	own          uint64         // the user's counting messages up to read
}

func appendUser(b []byte, u parley.UserID, subject string) []byte {
	return appendText(append(b, u[:]...), subject)
}

func appendCreate(b []byte, c parley.ConversationID, by parley.UserID, kind parley.ConversationKind, title string, users []parley.UserID) []byte {
	b = append(appendActor(b, c, by), byte(kind))
	return appendUsers(appendText(b, title), users)
}

func appendAdd(b []byte, c parley.ConversationID, by parley.UserID, users []parley.UserID) []byte {
	return appendUsers(appendActor(b, c, by), users)
}

func appendRemove(b []byte, c parley.ConversationID, by, who parley.UserID) []byte {
	return append(appendActor(b, c, by), who[:]...)
}

func appendRole(b []byte, c parley.ConversationID, by, who parley.UserID, role parley.Role) []byte {
	return append(append(appendActor(b, c, by), who[:]...), byte(role))
}

func appendPrefer(b []byte, c parley.ConversationID, by parley.UserID, what uint8, value uint64) []byte {
	return appendU64(append(appendActor(b, c, by), what), value)
}

func appendRename(b []byte, c parley.ConversationID, by parley.UserID, title string) []byte {
	return appendText(appendActor(b, c, by), title)
}

func appendConnect(b []byte, u parley.UserID, d *Device, epoch uint64) []byte {
	b = appendText(appendText(appendDevice(b, u, d.ID), d.Name), d.Platform)
	b = appendU64(append(b, d.Token[:]...), uint64(micros(d.TokenExpires)))
	return appendU64(b, epoch)
}

func appendSeen(b []byte, s *Seen) []byte {
	return appendU64(appendDevice(b, s.User, s.Device), uint64(micros(s.At)))
}

func appendDevice(b []byte, u parley.UserID, d parley.DeviceID) []byte {
	return append(append(b, u[:]...), d[:]...)
}

func appendProfile(b []byte, u parley.UserID, what uint8, p Profile) []byte {
	b = appendText(append(append(b, u[:]...), what, byte(p.LastSeenTo)), p.Name)
	return append(appendU16(b, uint16(len(p.Picture))), p.Picture...)
}

func appendBeat(b []byte, epoch uint64, at int64) []byte {
	return appendU64(appendU64(b, epoch), uint64(at))
}

// appendActor is what most bodies begin with.
func appendActor(b []byte, c parley.ConversationID, by parley.UserID) []byte {
	return append(append(b, c[:]...), by[:]...)
}

func appendSend(b []byte, from parley.UserID, d *parley.Draft) []byte {
	b = appendActor(b, d.Conversation, from)
	b = appendU64(b, uint64(d.Stream))
	b = appendU32(b, uint32(d.Number))
	b = append(b, byte(d.Kind))
	return append(b, d.Body...)
}

func appendMark(b []byte, m mark) []byte {
	b = appendActor(b, m.conversation, m.user)
	b = appendU64(b, uint64(m.delivered))
	b = appendU64(b, uint64(m.read))
	b = appendU64(b, uint64(m.ordinal))
	return appendU64(b, m.own)
}

func (d *decoder) mark() mark {
	return mark{
		conversation: d.conversation(), user: d.user(),
		delivered: parley.Seq(d.u64()), read: parley.Seq(d.u64()),
		ordinal: parley.Ordinal(d.u64()), own: d.u64(),
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sendHash is what is kept of a body, to tell a repeat from another message
// under the same number: CRC-32C of kind and body.
func sendHash(body []byte) uint32 {
	return crc32.Checksum(body[sendHeaderSize-1:], castagnoli)
}

// sendOf reads a send's fixed part.
func sendOf(body []byte) (from parley.UserID, stream parley.StreamID, number parley.Number, kind parley.Kind) {
	return parley.UserID(body[16:32]), parley.StreamID(binary.LittleEndian.Uint64(body[32:])),
		parley.Number(binary.LittleEndian.Uint32(body[40:])), parley.Kind(body[44])
}

// view is a linked command as readers see it. The body is the command's own.
func view(c parley.ConversationID, m *engine.Message) (parley.Message, bool) {
	out := parley.Message{Conversation: c, Seq: m.Seq, Ordinal: m.Ordinal, At: timeOf(m.Time)}
	if m.Kind == kindSend {
		if len(m.Body) < sendHeaderSize {
			return out, false
		}
		out.From, out.Stream, out.Number, out.Kind = sendOf(m.Body)
		out.Body = m.Body[sendHeaderSize:]
		return out, true
	}
	out.Kind = parley.KindSystem
	d := decoder{b: m.Body}
	d.conversation()
	out.From = d.user()
	e := &parley.Event{}
	switch m.Kind {
	case kindCreate:
		e.Type = parley.EventCreated
		d.u8()
		e.Title, e.Users = d.text(), d.users()
	case kindAdd:
		e.Type, e.Users = parley.EventAdded, d.users()
	case kindRemove:
		e.Type, e.Users = parley.EventRemoved, []parley.UserID{d.user()}
		if e.Users[0] == out.From {
			e.Type, e.Users = parley.EventLeft, nil
		}
	case kindRole:
		e.Type, e.Users = parley.EventRole, []parley.UserID{d.user()}
		e.Role = parley.Role(d.u8())
	case kindRename:
		e.Type, e.Title = parley.EventRenamed, d.text()
	default:
		return out, false
	}
	out.Event = e
	return out, d.whole()
}
