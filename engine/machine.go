package engine

import (
	"encoding/binary"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/invariant"
)

// Machine holds the rules. The engine calls it in log order, one command at a
// time, at the first apply and at every replay.
type Machine interface {
	// Apply decides a command: it changes rows and links messages through tx,
	// or refuses by a code and changes nothing. It must be a pure function of
	// the command and the rows that tx shows: no clock, no map order, no
	// randomness, no options, no I/O. The command must not be kept.
	Apply(tx *Tx, c *Command) Result
	// DecodeRow reads what Row.AppendTo wrote. The bytes must not be kept.
	DecodeRow(k Key, b []byte) (Row, error)
}

// Row is a unit of small state, of one partition.
type Row interface {
	// AppendTo appends the row's bytes. Equal rows have equal bytes.
	AppendTo(dst []byte) []byte
}

// Key names a row inside its partition.
type Key struct {
	Table uint8
	A, B  [16]byte
}

// TableConversation is the table of the rows that messages are linked to; A is
// the conversation. The other tables are the machine's.
const TableConversation uint8 = 1

// ConversationKey is the key of a conversation's row.
func ConversationKey(c parley.ConversationID) Key {
	return Key{Table: TableConversation, A: c}
}

// Slot is the place of a row in memory. It is valid while its partition is
// locked: inside Apply and View.
type Slot struct {
	home    *partition
	key     Key
	row     Row // nil once removed
	last    parley.Seq
	segment uint64  // newest segment with messages of the conversation
	chains  []chain // its messages in heads, oldest head first

	dirty   *head // the head in which the row changed last, if not yet flushed
	dirtyAt int   // where, in dirty.changes
}

// Row is the row, nil where it was removed.
func (s *Slot) Row() Row { return s.row }

// Last is the conversation's last sequence.
func (s *Slot) Last() parley.Seq { return s.last }

// OnDisk reports whether a segment holds messages of the conversation. It
// depends on when heads were flushed: apply must not ask.
func (s *Slot) OnDisk() bool { return s.segment != 0 }

// image appends the row's value in the catalogue, but for the segment.
//
//	0      8         16
//	+------+---------+-----+
//	| last | segment | row |
//	+------+---------+-----+
func (s *Slot) image(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.last))
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	return s.row.AppendTo(dst)
}

const imageHeaderSize = 16

// imageUsual is room for the rows of most conversations.
const imageUsual = 320

// Tx is what a machine sees of one partition while it applies a command.
type Tx struct {
	engine *Engine
	p      *partition
	head   *head
	cmd    Command // being applied
	offset uint32  // of the record in the head's buffer
	time   int64
	origin uint64
	hint   *Slot // perhaps what Find is asked for; nil in a replay
	live   bool
}

// Time is the command's stamp in microseconds, clamped so that it never runs
// backwards in the partition.
func (tx *Tx) Time() int64 { return tx.time }

// Owns reports whether a key belongs to the partition of the command (see
// Engine.Partition). It follows from the number of partitions, which is fixed
// when the store is made.
func (tx *Tx) Owns(tenant parley.TenantID, id [16]byte) bool {
	return tx.engine.Partition(tenant, id) == tx.p.id
}

// Live reports whether the command is applied for the first time. A machine may
// use it for what it tells to the outside, never for what it decides.
func (tx *Tx) Live() bool { return tx.live }

// Origin is that of the command's batch when it is applied for the first time,
// and 0 in a replay. Like Live, it is for what is told, never for what is
// decided.
func (tx *Tx) Origin() uint64 { return tx.origin }

// Find is the slot of a row, nil where there is none.
func (tx *Tx) Find(k Key) *Slot {
	// A slot with a row is the one of its key: there is never another.
	if h := tx.hint; h != nil && h.home == tx.p && h.key == k && h.row != nil {
		return h
	}
	s := tx.p.rows.find(k)
	if s == nil || s.row == nil {
		return nil
	}
	return s
}

// Change returns the row, which may be changed until Apply returns.
func (tx *Tx) Change(s *Slot) Row {
	tx.touch(s)
	return s.row
}

// Insert makes a row. There must be none of its key.
func (tx *Tx) Insert(k Key, r Row) *Slot {
	s := tx.p.rows.find(k)
	if s == nil {
		s = &Slot{home: tx.p, key: k}
		tx.p.rows.put(s)
		tx.engine.rowCount.Add(1)
	} else if s.row != nil {
		invariant.Violated("row %x inserted twice", k.A)
	}
	tx.touch(s)
	s.row = r
	return s
}

// Remove takes a row away. A conversation's stays for ever: made anew it would
// give its sequences again, or not, depending on what is flushed.
func (tx *Tx) Remove(s *Slot) {
	if s.key.Table == TableConversation {
		invariant.Violated("remove of conversation %x", s.key.A)
	}
	tx.touch(s)
	s.row = nil
}

// Link gives the command's record the next sequence of the conversation.
func (tx *Tx) Link(s *Slot, ordinal parley.Ordinal) parley.Seq {
	if s.key.Table != TableConversation {
		invariant.Violated("link to table %d", s.key.Table)
	}
	tx.touch(s)
	s.last++
	tx.head.link(tx.p.id, s, tx.offset, ordinal)
	return s.last
}

// Touch says that a user's list shows something new of a conversation. It is
// kept by the hour.
func (tx *Tx) Touch(u parley.UserID, c parley.ConversationID) {
	tx.engine.index.touch(tx.head, u, c, hourOf(tx.time), false)
}

// Leave says that a conversation left a user's list.
func (tx *Tx) Leave(u parley.UserID, c parley.ConversationID) {
	tx.engine.index.touch(tx.head, u, c, hourOf(tx.time), true)
}

// touch puts the row into the head's changed set. If a closed head still waits
// to write it, the row is copied first, as of that closing.
func (tx *Tx) touch(s *Slot) {
	if s.dirty == tx.head {
		return
	}
	if s.dirty != nil {
		s.dirty.capture(s.dirtyAt)
	}
	s.dirty, s.dirtyAt = tx.head, len(tx.head.changes)
	tx.head.changes = append(tx.head.changes, change{slot: s, partition: tx.p.id})
}
