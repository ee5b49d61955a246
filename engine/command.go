package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// Command is what is asked for, before apply decided.
type Command struct {
	Partition parley.PartitionID
	Kind      uint8 // the machine's
	Version   uint8 // of the kind's body
	Tenant    parley.TenantID
	Key       uint32 // names the key that encrypts the body; 0 for none
	Term      uint32 // given by the log
	Index     uint64 // given by the log: 1, 2, 3 in the partition
	Time      int64  // microseconds since 1970; 0 has Append stamp it
	Body      []byte

	// Slot is a row that apply will ask for, as View.Find showed it: a hint that
	// saves the second look-up. It is not logged, and may be nil or another's.
	Slot *Slot
}

// A record, little-endian:
//
//	0           2      3         4        8     12     16      24     32
//	+-----------+------+---------+--------+-----+------+-------+------+------+
//	| partition | kind | version | tenant | key | term | index | time | body |
//	+-----------+------+---------+--------+-----+------+-------+------+------+
//
// time is the proposer's clock; apply never lets it run backwards inside a
// partition. The record holds no sequence: that is given by apply.
const recordHeaderSize = 32

func putRecordHeader(b []byte, c *Command) {
	binary.LittleEndian.PutUint16(b, uint16(c.Partition))
	b[2] = c.Kind
	b[3] = c.Version
	binary.LittleEndian.PutUint32(b[4:], uint32(c.Tenant))
	binary.LittleEndian.PutUint32(b[8:], c.Key)
	binary.LittleEndian.PutUint32(b[12:], c.Term)
	binary.LittleEndian.PutUint64(b[16:], c.Index)
	binary.LittleEndian.PutUint64(b[24:], uint64(c.Time))
}

// AppendRecord appends the record of a command, as it stands in the log.
func AppendRecord(dst []byte, c *Command) []byte {
	var h [recordHeaderSize]byte
	putRecordHeader(h[:], c)
	return append(append(dst, h[:]...), c.Body...)
}

// ParseRecord reads a record. The body points into it.
func ParseRecord(b []byte) (Command, error) {
	if len(b) < recordHeaderSize {
		return Command{}, fmt.Errorf("%w: record of %d bytes", ErrCorrupt, len(b))
	}
	return Command{
		Partition: parley.PartitionID(binary.LittleEndian.Uint16(b)),
		Kind:      b[2],
		Version:   b[3],
		Tenant:    parley.TenantID(binary.LittleEndian.Uint32(b[4:])),
		Key:       binary.LittleEndian.Uint32(b[8:]),
		Term:      binary.LittleEndian.Uint32(b[12:]),
		Index:     binary.LittleEndian.Uint64(b[16:]),
		Time:      int64(binary.LittleEndian.Uint64(b[24:])),
		Body:      b[recordHeaderSize:],
	}, nil
}

// Result is what apply decided.
type Result struct {
	Code     parley.Code
	Repeat   bool           // the command was applied before; nothing changed
	Seq      parley.Seq     // of the message; of a repeat only where apply knows it
	Version  parley.Version // of the conversation, after the command
	Expected parley.Number  // with RetryInOrder: the number to go on with
	Time     int64          // microseconds: the command's stamp, clamped
}

// Batch is a number of commands that are appended together, in order. The
// engine owns it from Append until Done; it can then be used again.
type Batch struct {
	Commands []Command
	// Results has one for each command when Done is called, unless Err is set.
	Results []Result
	// Err says that the outcome is unknown: the log has failed (then the engine
	// has ended) or has lost the batch. Each command may or may not be applied.
	Err error
	// Done is called once all are applied, from the engine's applier: it must
	// neither wait nor append.
	Done func(*Batch)

	// Origin names whoever appends, for what a machine tells to the outside: see
	// Tx.Origin. It is not logged.
	Origin uint64

	// Grows says that the commands may make rows: it is refused when
	// Options.RowsMax is reached.
	Grows bool

	applied int // commands applied
	expect  int // commands that will be committed
}

// Log gives commands their order and makes them durable. The local one is our
// wal; a replicated one has the same promises.
type Log interface {
	// Propose orders the commands behind all before, gives each its term and
	// index, and copies them. Calls are serialised. After an error none of them
	// will come. Otherwise they come through Sink.Commit, in this order, or the
	// newest of them are named lost.
	Propose(cmds []Command) error
	// Trim says that records up to lsn are in segments.
	Trim(lsn wal.LSN)
	// Close makes durable what was proposed, and ends the log. What it delivered
	// stays readable until Release.
	Close() error
	// Release gives the memory of a closed log back.
	Release()
}

// Sink is where a log delivers.
type Sink struct {
	// Replay takes the groups found at opening, before the log takes proposals.
	Replay func(wal.Group) error
	// Indexes is the newest index of each partition, after the replay.
	Indexes func() []uint64
	// Commit takes each durable group, in order, from one goroutine. Buffers
	// stay readable until Trim.
	Commit func(wal.Group)
	// Lost says that the newest n commands proposed will never be committed. The
	// log takes no others until Lost has returned.
	Lost func(n int)
	// Failed ends the engine.
	Failed func(error)
}

// OpenLog opens a log and replays from the first record needed on.
type OpenLog func(from wal.LSN, sink Sink) (Log, error)
