package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// Reader reads one segment. Its methods may be called from any goroutine until
// Close.
type Reader struct {
	file  vfs.File
	name  string
	info  Info
	index []indexEntry
}

// Open reads the footer and the index of a segment. It returns ErrCorrupt for
// a file that is not whole.
func Open(fs vfs.FS, path string) (*Reader, error) {
	f, err := fs.Open(path, vfs.RandomReadsOption)
	if err != nil {
		return nil, fmt.Errorf("segment: open: %w", err)
	}
	r := &Reader{file: f, name: fs.PathBase(path)}
	if err := r.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// Info tells what the segment holds.
func (r *Reader) Info() Info { return r.info }

// Close releases the file.
func (r *Reader) Close() error { return r.file.Close() }

func (r *Reader) corrupt(offset int64, format string, args ...any) error {
	return &CorruptError{File: r.name, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func (r *Reader) load() error {
	stat, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("segment: stat %s: %w", r.name, err)
	}
	size := stat.Size()
	if size < headerSize+footerSize {
		return r.corrupt(size, "file of %d bytes", size)
	}
	var head [headerSize]byte
	if err := r.readAt(head[:], 0); err != nil {
		return err
	}
	if string(head[:8]) != headMagic || binary.LittleEndian.Uint32(head[12:]) != headerSum(head[:]) {
		return r.corrupt(0, "bad header")
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != formatVersion {
		return r.corrupt(8, "format version %d, this program reads %d", v, formatVersion)
	}
	var foot [footerSize]byte
	if err := r.readAt(foot[:], size-footerSize); err != nil {
		return err
	}
	if string(foot[36:]) != footMagic {
		return r.corrupt(size-footerSize, "no footer")
	}
	start := int64(binary.LittleEndian.Uint64(foot[:]))
	blocks := int64(binary.LittleEndian.Uint32(foot[8:]))
	if start < headerSize || start > size || start+blocks*indexEntrySize+footerSize != size {
		return r.corrupt(size-footerSize, "footer of %d blocks does not fit", blocks)
	}
	tail := make([]byte, size-footerSize-start)
	if err := r.readAt(tail, start); err != nil {
		return err
	}
	if crc32.Update(crc32.Checksum(tail, castagnoli), castagnoli, foot[:32]) != binary.LittleEndian.Uint32(foot[32:]) {
		return r.corrupt(start, "bad index")
	}
	r.info = Info{
		ID: binary.LittleEndian.Uint64(foot[24:]), Size: size,
		Messages: binary.LittleEndian.Uint64(foot[12:]), Runs: binary.LittleEndian.Uint32(foot[20:]),
	}
	if id := binary.LittleEndian.Uint64(head[16:]); id != r.info.ID {
		return r.corrupt(16, "header of segment %d, footer of %d", id, r.info.ID)
	}
	return r.loadIndex(tail, start, int(blocks))
}

// loadIndex takes the entries that stand at start. Each block begins where the
// one before ends, so that no index, whoever wrote it, leads out of the file.
func (r *Reader) loadIndex(entries []byte, start int64, blocks int) error {
	r.index = make([]indexEntry, blocks)
	end := int64(headerSize)
	for i := range r.index {
		e := parseIndexEntry(entries[i*indexEntrySize:])
		if e.offset != end || e.length < blockHeaderSize || e.length > blockMax || end+int64(e.length) > start {
			return r.corrupt(start+int64(i)*indexEntrySize, "block of %d bytes at %d where one at %d was due", e.length, e.offset, end)
		}
		end += int64(e.length)
		r.index[i] = e
	}
	if end != start {
		return r.corrupt(end, "blocks end %d bytes before the index", start-end)
	}
	return nil
}

func (r *Reader) readAt(b []byte, off int64) error {
	if n, err := r.file.ReadAt(b, off); n < len(b) {
		if errors.Is(err, io.EOF) {
			return r.corrupt(off, "file ends within %d bytes", len(b))
		}
		return fmt.Errorf("segment: read %s: %w", r.name, err)
	}
	return nil
}

// block reads and checks the i-th block and returns its payload.
func (r *Reader) block(i int, buf []byte) ([]byte, error) {
	e := r.index[i]
	if cap(buf) < e.length {
		buf = make([]byte, max(e.length, 2*blockTarget))
	}
	buf = buf[:e.length]
	if err := r.readAt(buf, e.offset); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(buf) != blockSum(r.info.ID, e.offset, buf[4:]) {
		return nil, r.corrupt(e.offset, "bad block")
	}
	if codec := buf[8]; codec != 0 {
		return nil, r.corrupt(e.offset, "unknown codec %d", codec)
	}
	if key := binary.LittleEndian.Uint32(buf[12:]); key != 0 {
		return nil, r.corrupt(e.offset, "encrypted with key %d", key)
	}
	return buf, nil
}

// pieces yields the pieces of a block's payload and the bytes of their
// messages.
func (r *Reader) pieces(i int, block []byte) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		b := block[blockHeaderSize:]
		for len(b) > 0 {
			if len(b) < pieceHeaderSize {
				yield(piece{}, r.corrupt(r.index[i].offset, "piece of %d bytes", len(b)))
				return
			}
			var p piece
			p.Run, p.count = parsePiece(b)
			b = b[pieceHeaderSize:]
			n, ok := messagesSize(b, p.count)
			if !ok {
				yield(piece{}, r.corrupt(r.index[i].offset, "piece of %d messages does not fit", p.count))
				return
			}
			p.bytes, b = b[:n:n], b[n:]
			if !yield(p, nil) {
				return
			}
		}
	}
}

type piece struct {
	Run
	count uint32
	bytes []byte
}

func messagesSize(b []byte, count uint32) (int, bool) {
	total := 0
	for range count {
		if len(b)-total < messageHeaderSize {
			return 0, false
		}
		n := binary.LittleEndian.Uint32(b[total:])
		if uint64(n) > uint64(len(b)-total-messageHeaderSize) {
			return 0, false
		}
		total += messageHeaderSize + int(n)
	}
	return total, true
}

func (p *piece) messages() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		b := p.bytes
		for i := range p.count {
			n := messageHeaderSize + int(binary.LittleEndian.Uint32(b))
			m := Message{
				Seq: p.First + parley.Seq(i), Index: binary.LittleEndian.Uint64(b[4:]),
				Ordinal: parley.Ordinal(binary.LittleEndian.Uint64(b[12:])), Record: b[messageHeaderSize:n:n],
			}
			if !yield(m) {
				return
			}
			b = b[n:]
		}
	}
}

// find is the first block that may hold the key (partition, conversation, seq).
func (r *Reader) find(p parley.PartitionID, c parley.ConversationID, seq parley.Seq) int {
	i := sort.Search(len(r.index), func(i int) bool {
		e := r.index[i]
		if d := compare(e.partition, e.conversation, p, c); d != 0 {
			return d > 0
		}
		return e.first > seq
	})
	return max(i-1, 0)
}

// Messages yields, in order, the messages of a conversation whose sequences lie
// in the range, as far as the segment has them. A record is valid until the
// next is asked for.
func (r *Reader) Messages(p parley.PartitionID, c parley.ConversationID, want parley.SeqRange) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		var buf []byte
		for i := r.find(p, c, want.From); i < len(r.index); i++ {
			if d := compare(r.index[i].partition, r.index[i].conversation, p, c); d > 0 || d == 0 && r.index[i].first > want.To {
				return
			}
			var err error
			if buf, err = r.block(i, buf); err != nil {
				yield(Message{}, err)
				return
			}
			if !r.yieldBlock(i, buf, p, c, want, yield) {
				return
			}
		}
	}
}

// yieldBlock reports false when no further block is wanted.
func (r *Reader) yieldBlock(i int, block []byte, p parley.PartitionID, c parley.ConversationID, want parley.SeqRange, yield func(Message, error) bool) bool {
	for piece, err := range r.pieces(i, block) {
		if err != nil {
			yield(Message{}, err)
			return false
		}
		if piece.Conversation != c || piece.Partition != p {
			continue
		}
		for m := range piece.messages() {
			if m.Seq > want.To {
				return false
			}
			if m.Seq >= want.From && !yield(m, nil) {
				return false
			}
		}
	}
	return true
}

// Run finds the run of a conversation: its first sequence and the segment
// before it. It reports false if the segment holds none.
func (r *Reader) Run(p parley.PartitionID, c parley.ConversationID) (Run, bool, error) {
	if len(r.index) == 0 {
		return Run{}, false, nil
	}
	// The run begins in the last block whose first piece is before it, or in
	// the one after, if that begins with it.
	var buf []byte
	for i := r.find(p, c, 0); i < len(r.index); i++ {
		if compare(r.index[i].partition, r.index[i].conversation, p, c) > 0 {
			break
		}
		var err error
		if buf, err = r.block(i, buf); err != nil {
			return Run{}, false, err
		}
		for piece, err := range r.pieces(i, buf) {
			if err != nil {
				return Run{}, false, err
			}
			if piece.Conversation == c && piece.Partition == p {
				return piece.Run, true, nil
			}
		}
	}
	return Run{}, false, nil
}

// Placed is a message together with the piece of a run in which it stands.
type Placed struct {
	Run
	Message
}

// All yields every message of the segment in order. A record is valid until the
// next is asked for.
func (r *Reader) All() iter.Seq2[Placed, error] {
	return func(yield func(Placed, error) bool) {
		var buf []byte
		for i := range r.index {
			var err error
			if buf, err = r.block(i, buf); err != nil {
				yield(Placed{}, err)
				return
			}
			for piece, err := range r.pieces(i, buf) {
				if err != nil {
					yield(Placed{}, err)
					return
				}
				for m := range piece.messages() {
					if !yield(Placed{piece.Run, m}, nil) {
						return
					}
				}
			}
		}
	}
}
