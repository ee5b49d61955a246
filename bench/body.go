package bench

import (
	"bytes"
	"encoding/binary"
	"time"
)

// The body of a message, little-endian:
//
//	0      8              12       16       20         28
//	+------+--------------+--------+--------+----------+------+
//	| run  | conversation | sender | number | intended | fill |
//	+------+--------------+--------+--------+----------+------+
//
// run is random for each run, conversation and sender are indexes in it, number
// is the sender's in the conversation, intended is when the schedule wanted it
// sent, in nanoseconds since the run began. fill is the same for all.
const bodyHead = 28

// BodyMin is the smallest body of a message of the load.
const BodyMin = bodyHead

// stamp is what a body says.
type stamp struct {
	run          uint64
	conversation uint32
	sender       uint32
	number       uint32
	intended     time.Duration
}

func (s stamp) append(dst, fill []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, s.run)
	dst = binary.LittleEndian.AppendUint32(dst, s.conversation)
	dst = binary.LittleEndian.AppendUint32(dst, s.sender)
	dst = binary.LittleEndian.AppendUint32(dst, s.number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.intended))
	return append(dst, fill...)
}

// readStamp reports false for a body that is not one of ours.
func readStamp(body, fill []byte) (s stamp, ok bool) {
	if len(body) != bodyHead+len(fill) || !bytes.Equal(body[bodyHead:], fill) {
		return stamp{}, false
	}
	return stamp{
		run:          binary.LittleEndian.Uint64(body),
		conversation: binary.LittleEndian.Uint32(body[8:]),
		sender:       binary.LittleEndian.Uint32(body[12:]),
		number:       binary.LittleEndian.Uint32(body[16:]),
		intended:     time.Duration(binary.LittleEndian.Uint64(body[20:])),
	}, true
}
