package engine

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/parleychat/parley"
)

// Plain is the machine for those who want durable logs without the rules of a
// chat: it gives sequences, applies each (stream, number) once, and nothing
// else. Every conversation is open to everybody.
type Plain struct{}

// Kinds and codes of Plain.
const plainKind = 1

// The body of a plain command, little-endian:
//
//	0              16       24       28
//	+--------------+--------+--------+------+
//	| conversation | stream | number | body |
//	+--------------+--------+--------+------+
const plainHeaderSize = 28

// PlainAppend makes the command that appends body to a conversation.
func PlainAppend(e *Engine, c parley.ConversationID, s parley.StreamID, n parley.Number, body []byte) Command {
	b := make([]byte, 0, plainHeaderSize+len(body))
	b = append(b, c[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s))
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return Command{Partition: e.Partition(parley.DefaultTenant, c), Kind: plainKind, Version: 1, Body: append(b, body...)}
}

// PlainBody is what was passed to PlainAppend as body.
func PlainBody(m Message) []byte { return m.Body[plainHeaderSize:] }

// Apply implements Machine.
func (Plain) Apply(tx *Tx, c *Command) Result {
	if c.Kind != plainKind || c.Version != 1 {
		return Result{Code: parley.Unsupported}
	}
	if len(c.Body) < plainHeaderSize {
		return Result{Code: parley.BadRequest}
	}
	id := parley.ConversationID(c.Body[:16])
	stream := parley.StreamID(binary.LittleEndian.Uint64(c.Body[16:]))
	number := parley.Number(binary.LittleEndian.Uint32(c.Body[24:]))
	hash := crc32.Checksum(c.Body[plainHeaderSize:], castagnoli)
	slot := tx.Find(ConversationKey(id))
	var row *plainRow
	if slot == nil {
		row = &plainRow{}
	} else {
		row = slot.Row().(*plainRow)
	}
	if r := row.streams.Decide(stream, number, hash); r.Code != parley.OK || r.Repeat {
		return r
	}
	if slot == nil {
		slot = tx.Insert(ConversationKey(id), row)
	} else {
		tx.Change(slot)
	}
	seq := tx.Link(slot, parley.Ordinal(slot.Last()+1))
	row.streams.Accept(stream, number, seq, hash)
	return Result{Seq: seq}
}

// DecodeRow implements Machine.
func (Plain) DecodeRow(_ Key, b []byte) (Row, error) {
	row := &plainRow{}
	rest, err := row.streams.Decode(b)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes behind a row", ErrCorrupt, len(rest))
	}
	return row, err
}

type plainRow struct{ streams Streams }

// AppendTo implements Row.
func (r *plainRow) AppendTo(dst []byte) []byte { return r.streams.AppendTo(dst) }
