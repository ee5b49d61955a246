package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/tiering/segment"
	"github.com/parleychat/parley/wal"
)

// The catalogue is a Pebble store whose keys are, with numbers big-endian so
// that they sort:
//
//	"m"                                          the store: format, partitions
//	"c"                                          the cut
//	"r" partition(2) table(1) A(16) B(16)        a row
//	"s" id(8)                                    a segment
//	"u" user(16) conversation(16)                a line of a user's list
//
// Its values are little-endian; docs/format/keyspace.md draws them.
const (
	keyStore   = 'm'
	keyCut     = 'c'
	keyRow     = 'r'
	keySegment = 's'
	keyListed  = 'u'

	storeFormat = 1
)

// catalogueMemory is Pebble's memtable. The rows of a flush fit: a larger batch
// would be sorted apart, and become a table of its own.
const catalogueMemory = 64 << 20

type catalogue struct{ db *pebble.DB }

// cut is where replay starts: everything up to it is in segments and rows.
type cut struct {
	lsn        wal.LSN
	partitions []cutPartition
}

type cutPartition struct {
	index uint64
	time  int64
}

func (c *cut) index(p parley.PartitionID) uint64 {
	if int(p) >= len(c.partitions) {
		return 0
	}
	return c.partitions[p].index
}

func openCatalogue(fs vfs.FS, dir string, logger *slog.Logger) (*catalogue, error) {
	opts := &pebble.Options{
		FS:                    markerFS{fs},
		FormatMajorVersion:    pebble.FormatNewest,
		MemTableSize:          catalogueMemory,
		L0CompactionThreshold: 10, // rows are read at Open alone: merging them later costs nothing
		L0StopWritesThreshold: 40,
		Logger:                pebbleLogger{logger},
	}
	// Rows are written anew every few seconds and compacted as often: what
	// compressing them saves is gone before it is paid for.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	return &catalogue{db}, nil
}

// markerFS syncs a folder before Pebble makes a marker in it. A marker names the
// manifest in force, and Pebble syncs the folder only behind it: on a file
// system that does not keep the order of names, a power cut could leave the
// marker and take the manifest.
type markerFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs markerFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

func (c *catalogue) close() error { return c.db.Close() }

// store returns the partitions of the store, 0 for a new one.
func (c *catalogue) store() (partitions int, err error) {
	v, err := c.get([]byte{keyStore})
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: store record of %d bytes", ErrCorrupt, len(v))
	}
	if f := binary.LittleEndian.Uint32(v); f != storeFormat {
		return 0, fmt.Errorf("engine: store format %d, this program reads %d", f, storeFormat)
	}
	return int(binary.LittleEndian.Uint32(v[4:])), nil
}

func (c *catalogue) makeStore(partitions int) error {
	v := binary.LittleEndian.AppendUint32(nil, storeFormat)
	v = binary.LittleEndian.AppendUint32(v, uint32(partitions))
	return c.db.Set([]byte{keyStore}, v, pebble.Sync)
}

func (c *catalogue) get(key []byte) ([]byte, error) {
	v, closer, err := c.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	out := append([]byte{}, v...)
	return out, closer.Close()
}

func (c *catalogue) cut(partitions int) (cut, error) {
	v, err := c.get([]byte{keyCut})
	if err != nil {
		return cut{}, err
	}
	if v == nil {
		return cut{partitions: make([]cutPartition, partitions)}, nil
	}
	if len(v) != 8+16*partitions {
		return cut{}, fmt.Errorf("%w: cut of %d bytes for %d partitions", ErrCorrupt, len(v), partitions)
	}
	at := cut{lsn: wal.LSN(binary.LittleEndian.Uint64(v))}
	for v = v[8:]; len(v) > 0; v = v[16:] {
		at.partitions = append(at.partitions, cutPartition{
			index: binary.LittleEndian.Uint64(v), time: int64(binary.LittleEndian.Uint64(v[8:])),
		})
	}
	return at, nil
}

func (c cut) appendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.lsn))
	for _, p := range c.partitions {
		dst = binary.LittleEndian.AppendUint64(dst, p.index)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(p.time))
	}
	return dst
}

func appendRowKey(b []byte, p parley.PartitionID, k Key) []byte {
	b = binary.BigEndian.AppendUint16(append(b, keyRow), uint16(p))
	b = append(b, k.Table)
	b = append(b, k.A[:]...)
	return append(b, k.B[:]...)
}

func segmentKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keySegment}, id)
}

func appendListedKey(b []byte, t touch) []byte {
	b = append(append(b, keyListed), t.user[:]...)
	return append(b, t.conversation[:]...)
}

func (s stamp) appendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, s.hour)
	if s.left {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// each calls f for every key with the prefix. The slices are valid until f
// returns.
func (c *catalogue) each(prefix byte, f func(key, value []byte) error) error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = f(it.Key()[1:], it.Value())
	}
	return errors.Join(err, it.Error(), it.Close())
}

// segments are the ids that the catalogue names.
func (c *catalogue) segments() (map[uint64]bool, error) {
	named := make(map[uint64]bool)
	err := c.each(keySegment, func(k, _ []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("%w: segment key of %d bytes", ErrCorrupt, len(k))
		}
		named[binary.BigEndian.Uint64(k)] = true
		return nil
	})
	return named, err
}

// flush names a head's segment, writes its rows and moves the cut, in one
// atomic, synced batch.
func (c *catalogue) flush(h *head, info *segment.Info) error {
	b := c.db.NewBatch()
	defer func() { _ = b.Close() }()
	if info != nil {
		v := binary.LittleEndian.AppendUint64(nil, uint64(info.Size))
		v = binary.LittleEndian.AppendUint64(v, info.Messages)
		v = binary.LittleEndian.AppendUint32(v, info.Runs)
		v = binary.LittleEndian.AppendUint64(v, uint64(h.cut.lsn))
		if err := b.Set(segmentKey(info.ID), v, nil); err != nil {
			return err
		}
	}
	var key, value []byte
	for i := range h.changes {
		ch := &h.changes[i]
		key = appendRowKey(key[:0], ch.partition, ch.slot.key)
		if ch.removed {
			if err := b.Delete(key, nil); err != nil {
				return err
			}
			continue
		}
		if err := b.Set(key, ch.image, nil); err != nil {
			return err
		}
	}
	for t, s := range h.touched {
		key, value = appendListedKey(key[:0], t), s.appendTo(value[:0])
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
	}
	if err := b.Set([]byte{keyCut}, h.cut.appendTo(nil), nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// pebbleLogger passes on what Pebble says when it gives up; its daily business
// is left out.
type pebbleLogger struct{ to *slog.Logger }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.to.Error("catalogue: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when Pebble cannot write its own log, and must not return.
// Going on would tell senders of a state that no longer reaches the disk, so the
// process ends: not by a panic, which a caller might recover from. What was
// acknowledged is in our log.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.to.Error("catalogue: the disk refuses writes, the process ends: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}
