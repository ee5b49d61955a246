package engine

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/mutant"
)

// StreamsMax is how many streams of one writer a conversation remembers.
const StreamsMax = 8

// Stream is what a conversation remembers of one stream: the rule of an
// idempotent producer, without a window of time.
type Stream struct {
	ID   parley.StreamID
	Last parley.Number
	Seq  parley.Seq // of Last
	Hash uint32     // of its body
}

// Streams are the streams that one writer used last in one conversation, the
// longest unused first. The zero value remembers none.
type Streams struct {
	// Forgotten is the newest birth of a stream that was forgotten, 0 while none
	// was: a stream without a birth counts as born in second 1.
	Forgotten uint32
	list      []Stream
}

// Decide says what becomes of a send: parley.OK to accept it (or, with Repeat,
// to answer that it was accepted before), or a refusal. It changes nothing.
func (s *Streams) Decide(id parley.StreamID, n parley.Number, hash uint32) Result {
	if n == 0 {
		return Result{Code: parley.BadRequest}
	}
	at := s.find(id)
	if at < 0 {
		switch {
		case s.Forgotten != 0 && id.Birth() <= s.Forgotten:
			return Result{Code: parley.ResendUnknown}
		case n != 1 && !mutant.On(mutant.NumberOutOfOrder):
			return Result{Code: parley.RetryInOrder, Expected: 1}
		}
		return Result{}
	}
	known := s.list[at]
	switch {
	case n > known.Last+1 && !mutant.On(mutant.NumberOutOfOrder):
		return Result{Code: parley.RetryInOrder, Expected: known.Last + 1}
	case n == known.Last && hash != known.Hash:
		return Result{Code: parley.NumberReused}
	case n == known.Last:
		return Result{Repeat: true, Seq: known.Seq}
	case n < known.Last:
		return Result{Repeat: true} // a reader finds its sequence and its body
	}
	return Result{}
}

// Accept remembers a send that Decide let pass.
func (s *Streams) Accept(id parley.StreamID, n parley.Number, seq parley.Seq, hash uint32) {
	if at := s.find(id); at >= 0 {
		s.list = slices.Delete(s.list, at, at+1)
	} else if len(s.list) == StreamsMax {
		s.Forgotten = max(s.Forgotten, s.list[0].ID.Birth(), 1)
		s.list = slices.Delete(s.list, 0, 1)
	}
	s.list = append(s.list, Stream{ID: id, Last: n, Seq: seq, Hash: hash})
}

// Known is the stream, if it is remembered.
func (s *Streams) Known(id parley.StreamID) (Stream, bool) {
	if at := s.find(id); at >= 0 {
		return s.list[at], true
	}
	return Stream{}, false
}

func (s *Streams) find(id parley.StreamID) int {
	for i := len(s.list) - 1; i >= 0; i-- {
		if s.list[i].ID == id {
			return i
		}
	}
	return -1
}

const streamSize = 24

// AppendTo appends the streams: the newest birth forgotten (4 bytes), a count
// (1), and for each its id (8), last number (4), that one's sequence (8) and
// hash (4).
func (s *Streams) AppendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, s.Forgotten)
	dst = append(dst, byte(len(s.list)))
	for _, k := range s.list {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(k.ID))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(k.Last))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(k.Seq))
		dst = binary.LittleEndian.AppendUint32(dst, k.Hash)
	}
	return dst
}

// Decode reads what AppendTo wrote and returns the bytes behind it.
func (s *Streams) Decode(b []byte) (rest []byte, err error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: streams of %d bytes", ErrCorrupt, len(b))
	}
	s.Forgotten = binary.LittleEndian.Uint32(b)
	n := int(b[4])
	b = b[5:]
	if n > StreamsMax || len(b) < n*streamSize {
		return nil, fmt.Errorf("%w: %d streams in %d bytes", ErrCorrupt, n, len(b))
	}
	s.list = nil
	for range n {
		s.list = append(s.list, Stream{
			ID: parley.StreamID(binary.LittleEndian.Uint64(b)), Last: parley.Number(binary.LittleEndian.Uint32(b[8:])),
			Seq: parley.Seq(binary.LittleEndian.Uint64(b[12:])), Hash: binary.LittleEndian.Uint32(b[20:]),
		})
		b = b[streamSize:]
	}
	return b, nil
}
