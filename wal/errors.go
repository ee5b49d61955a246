package wal

import (
	"errors"
	"fmt"
)

// Errors of a log. They are matched with errors.Is.
var (
	// ErrCorrupt reports bytes that were durable and no longer match their
	// checksum, or durable records that are gone. Retrying does not help. The
	// error found by errors.As as *CorruptError says where.
	ErrCorrupt = errors.New("wal: corrupt")

	// ErrFull reports that every file holds records that are not trimmed yet,
	// or that the disk has no room for another. Nothing was stored; the same
	// batch may be appended later.
	ErrFull = errors.New("wal: full")

	// ErrTooLarge reports a batch above Options.BatchMax.
	ErrTooLarge = errors.New("wal: batch too large")

	// ErrFailed reports that a write or a sync failed and the log has ended.
	// Records appended but not committed may or may not be there after Open.
	ErrFailed = errors.New("wal: failed")

	// ErrClosed reports a use after Close.
	ErrClosed = errors.New("wal: closed")

	// ErrShort reports a log that ends before Options.From: files were lost or
	// an older copy of the folder was put in place.
	ErrShort = errors.New("wal: log ends before the records it must hold")

	// ErrVersion reports files written by a newer version of this package.
	ErrVersion = errors.New("wal: unknown format version")
)

// CorruptError says where a log is damaged. It matches ErrCorrupt.
type CorruptError struct {
	File   string
	Offset int64
	Next   LSN // the first record that cannot be read
	Reason string
}

// Error names the place, the damage and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: %s at %s:%d: records from %d on cannot be read; keep the folder as it is, check it with `parley verify`, and restore it from a backup",
		e.Reason, e.File, e.Offset, e.Next)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
