package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/parleychat/parley"
)

// A segment, little-endian:
//
//	+--------+-------+-------+-----+-------+-------+--------+
//	| header | block | block | ... | block | index | footer |
//	+--------+-------+-------+-----+-------+-------+--------+
//
// The header:
//
//	0            8         12    16   24
//	+------------+---------+-----+----+
//	| "PARLYSEG" | version | crc | id |
//	+------------+---------+-----+----+
//
// A block is 32 bytes and its payload:
//
//	0     4        8       9     12       16      28         32
//	+-----+--------+-------+-----+--------+-------+----------+---------+
//	| crc | length | codec | (0) | key id | nonce | messages | payload |
//	+-----+--------+-------+-----+--------+-------+----------+---------+
//
// crc is CRC-32C of segment id, block offset (8 bytes each), and everything of
// the block after the crc. codec 0 is raw; key id 0 is not encrypted. The
// payload is pieces of runs, each begun anew at the start of a block:
//
//	0           4           20         28      36      40
//	+-----------+--------------+----------+-------+-------+----------+
//	| partition | conversation | previous | first | count | messages |
//	+-----------+--------------+----------+-------+-------+----------+
//
// previous is the segment with the messages before the run, 0 for none; first
// is the sequence of the piece's first message. A message:
//
//	0        4       12        20
//	+--------+-------+---------+--------+
//	| length | index | ordinal | record |
//	+--------+-------+---------+--------+
//
// The index has an entry for each block, which names its first piece:
//
//	0           4              20      28       36       40
//	+-----------+--------------+-------+--------+--------+
//	| partition | conversation | first | offset | length |
//	+-----------+--------------+-------+--------+--------+
//
// The footer:
//
//	0              8        12         20         24        32    36
//	+--------------+--------+----------+----------+---------+-----+------------+
//	| index offset | blocks | messages | runs     | id      | crc | "PARLYEND" |
//	+--------------+--------+----------+----------+---------+-----+------------+
//
// Its crc is that of the index and the footer's first 32 bytes.
const (
	headMagic         = "PARLYSEG"
	footMagic         = "PARLYEND"
	formatVersion     = 1
	headerSize        = 24
	blockHeaderSize   = 32
	pieceHeaderSize   = 40
	messageHeaderSize = 20
	indexEntrySize    = 40
	footerSize        = 44

	// blockTarget is where a block ends; its last message may pass it.
	blockTarget = 32 << 10
	// blockMax is more than any block can be; a larger length is damage.
	blockMax = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt reports bytes of a segment that no longer match their checksum or
// that contradict each other. Retrying does not help.
var ErrCorrupt = errors.New("segment: corrupt")

// CorruptError says where a segment is damaged. It matches ErrCorrupt.
type CorruptError struct {
	File   string
	Offset int64
	Reason string
}

// Error names the place and the damage.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment: %s at %s:%d", e.Reason, e.File, e.Offset)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Run begins a run.
type Run struct {
	Partition    parley.PartitionID
	Conversation parley.ConversationID
	Previous     uint64 // the segment with the messages before; 0 for none
	First        parley.Seq
}

// Message is one message of a run.
type Message struct {
	Seq     parley.Seq // given by its place in the run; Add ignores it
	Index   uint64
	Ordinal parley.Ordinal
	Record  []byte
}

// compare orders runs as they stand in a file.
func compare(p parley.PartitionID, c parley.ConversationID, q parley.PartitionID, d parley.ConversationID) int {
	if p != q {
		return int(p) - int(q)
	}
	return bytes.Compare(c[:], d[:])
}

func putPiece(b []byte, r Run, count uint32) {
	binary.LittleEndian.PutUint32(b, uint32(r.Partition))
	copy(b[4:], r.Conversation[:])
	binary.LittleEndian.PutUint64(b[20:], r.Previous)
	binary.LittleEndian.PutUint64(b[28:], uint64(r.First))
	binary.LittleEndian.PutUint32(b[36:], count)
}

func parsePiece(b []byte) (r Run, count uint32) {
	r.Partition = parley.PartitionID(binary.LittleEndian.Uint32(b))
	copy(r.Conversation[:], b[4:20])
	r.Previous = binary.LittleEndian.Uint64(b[20:])
	r.First = parley.Seq(binary.LittleEndian.Uint64(b[28:]))
	return r, binary.LittleEndian.Uint32(b[36:])
}

type indexEntry struct {
	partition    parley.PartitionID
	conversation parley.ConversationID
	first        parley.Seq
	offset       int64
	length       int
}

func appendIndexEntry(b []byte, e indexEntry) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(e.partition))
	b = append(b, e.conversation[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.offset))
	return binary.LittleEndian.AppendUint32(b, uint32(e.length))
}

func parseIndexEntry(b []byte) (e indexEntry) {
	e.partition = parley.PartitionID(binary.LittleEndian.Uint32(b))
	copy(e.conversation[:], b[4:20])
	e.first = parley.Seq(binary.LittleEndian.Uint64(b[20:]))
	e.offset = int64(binary.LittleEndian.Uint64(b[28:]))
	e.length = int(binary.LittleEndian.Uint32(b[36:]))
	return e
}

func blockSum(id uint64, offset int64, afterCRC []byte) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], id)
	binary.LittleEndian.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, afterCRC)
}

const fileSuffix = ".seg"

// FileName is the name of the segment with an id.
func FileName(id uint64) string {
	digits := strconv.FormatUint(id, 10)
	return strings.Repeat("0", max(0, 12-len(digits))) + digits + fileSuffix
}

// ParseFileName reports false for a name that FileName would not give.
func ParseFileName(name string) (id uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0 && FileName(id) == name
}
