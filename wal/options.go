package wal

import (
	"log/slog"
)

// Options tune a log. The zero value is ready for production.
type Options struct {
	// FileSize is how large each file is made, in bytes, once and for all.
	// Larger files are recycled less often; with Retain it is also the size of
	// each buffer. Default 64 MiB, at least 64 KiB.
	FileSize int

	// FilesMax bounds the files that hold records not yet trimmed, together
	// with those kept for recycling. When all are in use and the last is full,
	// Append refuses with ErrFull. Default 6, at least 3.
	FilesMax int

	// BatchMax bounds one batch of Append and one frame, in bytes with 4 a
	// record. Default 4 MiB or a quarter of FileSize, whichever is less.
	BatchMax int

	// From is the first record that the caller still needs. Older ones are not
	// replayed, and files that hold nothing else may be missing. Default 1.
	From LSN

	// Replay receives, during Open and in order, every group of records from
	// From on. An error of its ends Open.
	Replay func(Group) error

	// Commit receives, in order and from one goroutine, every group that has
	// become durable since Open. While it runs nothing else is written.
	Commit func(Group)

	// Failed is called once, before any waiter is told, when a write or a sync
	// failed and the log has ended.
	Failed func(error)

	// Retain keeps the buffer of a file readable until Trim has passed it.
	// Without it a group may be read only inside Replay and Commit.
	Retain bool

	// Buffered writes through the page cache, with a sync each, where otherwise
	// O_DIRECT and O_DSYNC are used. It costs 6 to 25 times the CPU per byte.
	Buffered bool

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

const (
	fileSizeMin = 64 << 10
	filesMaxMin = 3
)

func (o Options) withDefaults() Options {
	if o.FileSize == 0 {
		o.FileSize = 64 << 20
	}
	o.FileSize = alignUp(max(o.FileSize, fileSizeMin))
	if o.FilesMax == 0 {
		o.FilesMax = 6
	}
	o.FilesMax = max(o.FilesMax, filesMaxMin)
	if o.BatchMax == 0 {
		o.BatchMax = 4 << 20
	}
	o.BatchMax = min(o.BatchMax, o.FileSize/4)
	o.From = max(o.From, 1)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
