package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/invariant"
)

// Writer writes one segment. It is used from one goroutine.
type Writer struct {
	file   vfs.File
	name   string
	id     uint64
	offset int64 // of the block being filled

	block    []byte // header and payload of the block being filled
	inBlock  uint32 // messages in it
	piece    int    // where the open piece stands in block; 0 for none
	inPiece  uint32
	run      Run // the open run; First is that of the open piece
	started  bool
	index    []byte
	blocks   uint32
	messages uint64
	runs     uint32
}

// Info tells what a finished segment holds.
type Info struct {
	ID       uint64
	Size     int64
	Messages uint64
	Runs     uint32
}

// Create begins the segment with this id at path.
func Create(fs vfs.FS, path string, id uint64) (*Writer, error) {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("segment: create: %w", err)
	}
	w := &Writer{file: f, name: fs.PathBase(path), id: id, block: make([]byte, blockHeaderSize, blockTarget*2)}
	var h [headerSize]byte
	copy(h[:], headMagic)
	binary.LittleEndian.PutUint32(h[8:], formatVersion)
	binary.LittleEndian.PutUint64(h[16:], id)
	binary.LittleEndian.PutUint32(h[12:], headerSum(h[:]))
	if err := w.write(h[:]); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

func headerSum(h []byte) uint32 {
	return crc32.Update(crc32.Checksum(h[:12], castagnoli), castagnoli, h[16:headerSize])
}

// Run begins a run. Runs come in ascending order of partition and conversation.
func (w *Writer) Run(r Run) error {
	if w.started && compare(w.run.Partition, w.run.Conversation, r.Partition, r.Conversation) >= 0 {
		invariant.Violated("run of %v after %v", r.Conversation, w.run.Conversation)
	}
	w.closePiece()
	w.run, w.started = r, true
	w.runs++
	return nil
}

// Add appends the next message of the run.
func (w *Writer) Add(m Message) error {
	if !w.started {
		invariant.Violated("a message without a run")
	}
	if len(w.block) >= blockTarget {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.piece == 0 {
		w.openPiece()
	}
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(len(m.Record)))
	w.block = binary.LittleEndian.AppendUint64(w.block, m.Index)
	w.block = binary.LittleEndian.AppendUint64(w.block, uint64(m.Ordinal))
	w.block = append(w.block, m.Record...)
	w.inPiece++
	w.inBlock++
	w.messages++
	return nil
}

func (w *Writer) openPiece() {
	if w.inBlock == 0 {
		w.index = appendIndexEntry(w.index, indexEntry{w.run.Partition, w.run.Conversation, w.run.First, w.offset, 0})
	}
	w.piece = len(w.block)
	w.block = append(w.block, make([]byte, pieceHeaderSize)...)
}

// closePiece leaves run.First at the sequence that comes next.
func (w *Writer) closePiece() {
	if w.piece == 0 {
		return
	}
	putPiece(w.block[w.piece:], w.run, w.inPiece)
	w.run.First += parley.Seq(w.inPiece)
	w.piece, w.inPiece = 0, 0
}

// flush writes the block.
func (w *Writer) flush() error {
	w.closePiece()
	if w.inBlock == 0 {
		return nil
	}
	b := w.block
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-blockHeaderSize))
	binary.LittleEndian.PutUint32(b[28:], w.inBlock)
	binary.LittleEndian.PutUint32(b, blockSum(w.id, w.offset, b[4:]))
	binary.LittleEndian.PutUint32(w.index[len(w.index)-4:], uint32(len(b)))
	w.blocks++
	w.inBlock = 0
	err := w.write(b)
	w.block = w.block[:blockHeaderSize]
	clear(w.block)
	return err
}

func (w *Writer) write(b []byte) error {
	// By its contract a file may scribble over what it writes, so nothing that
	// is read again passes here.
	n := len(b)
	if _, err := w.file.Write(b); err != nil {
		return fmt.Errorf("segment: write %s: %w", w.name, err)
	}
	w.offset += int64(n)
	return nil
}

// Finish completes the segment and syncs it. The name in its folder is the
// caller's to sync. The writer is closed, whatever the error.
func (w *Writer) Finish() (Info, error) {
	err := w.finish()
	if err := errors.Join(err, w.file.Close()); err != nil {
		return Info{}, err
	}
	return Info{ID: w.id, Size: w.offset, Messages: w.messages, Runs: w.runs}, nil
}

func (w *Writer) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	tail := w.index
	foot := len(tail)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(w.offset))
	tail = binary.LittleEndian.AppendUint32(tail, w.blocks)
	tail = binary.LittleEndian.AppendUint64(tail, w.messages)
	tail = binary.LittleEndian.AppendUint32(tail, w.runs)
	tail = binary.LittleEndian.AppendUint64(tail, w.id)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(tail[:foot+32], castagnoli))
	tail = append(tail, footMagic...)
	if err := w.write(tail); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("segment: sync %s: %w", w.name, err)
	}
	return nil
}

// Abort closes an unfinished segment; its file is the caller's to remove.
func (w *Writer) Abort() error { return w.file.Close() }
