package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/parleychat/parley"
)

// loadRow takes a row from the catalogue: key is partition, table, A, B.
func (e *Engine) loadRow(key, value []byte) error {
	if len(key) != 2+1+16+16 || len(value) < imageHeaderSize {
		return fmt.Errorf("%w: row of %d and %d bytes", ErrCorrupt, len(key), len(value))
	}
	at := int(binary.BigEndian.Uint16(key))
	if at >= len(e.partitions) {
		return fmt.Errorf("%w: row of partition %d of %d", ErrCorrupt, at, len(e.partitions))
	}
	k := Key{Table: key[2], A: [16]byte(key[3:19]), B: [16]byte(key[19:35])}
	row, err := e.machine.DecodeRow(k, value[imageHeaderSize:])
	if err != nil {
		return fmt.Errorf("row %d/%x/%x: %w", k.Table, k.A, k.B, err)
	}
	e.partitions[at].rows.put(&Slot{
		home: e.partitions[at], key: k, row: row,
		last:    parley.Seq(binary.LittleEndian.Uint64(value)),
		segment: binary.LittleEndian.Uint64(value[8:]),
	})
	e.rowCount.Add(1)
	return nil
}

// loadListed takes a line of a user's list: key is user, conversation.
func (e *Engine) loadListed(key, value []byte) error {
	if len(key) != 32 || len(value) != 5 {
		return fmt.Errorf("%w: listed line of %d and %d bytes", ErrCorrupt, len(key), len(value))
	}
	s := stamp{hour: binary.LittleEndian.Uint32(value), left: value[4] == 1}
	e.index.put(parley.UserID(key[:16]), parley.ConversationID(key[16:]), s)
	return nil
}
