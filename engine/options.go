package engine

import (
	"log/slog"
	"time"
)

// Options tune an engine. The zero value is ready for production.
type Options struct {
	// Partitions is fixed when the store is made: a conversation belongs to one
	// of them, and each is ordered alone. Default 256, at most 4096.
	Partitions int

	// HeadSize is that of a log file and of the memory that mirrors it, in
	// bytes. Larger heads make fewer row writes a message, and longer replays.
	// Default 64 MiB, at most 1 GiB.
	HeadSize int

	// HeadsMax bounds the heads in memory: the open one and those that wait for
	// their flush. Past it Append refuses with parley.Overloaded. Default 4, at
	// least 2.
	HeadsMax int

	// HeadRowsMax closes a head, full or not, before the group that follows once
	// so many rows have changed in it. Default 500,000.
	HeadRowsMax int

	// RowsMax bounds the rows, all of which are in memory. Past it Append
	// refuses commands that say they make rows. Default 20 million.
	RowsMax int

	// SegmentsOpenMax bounds the segments kept open for reading. Default 256.
	SegmentsOpenMax int

	// ReserveBytes is the room on the disk below which Append refuses with
	// parley.DiskFull, so that what was accepted can still be flushed. Default
	// 512 MiB; a file system that does not tell its room is not watched.
	ReserveBytes uint64

	// Buffered has the log written through the page cache (see wal.Options).
	Buffered bool

	// Restored says that the folder was put back from a copy: a new incarnation
	// begins. A copy is noticed without it where the file system dates its
	// files.
	Restored bool

	// Now is the clock that stamps commands. Default time.Now.
	Now func() time.Time

	// OpenLog puts another log in place of the wal in the folder.
	OpenLog OpenLog

	// Applied is called by the applier after each group of records it has
	// applied live, before the batches in it are done. It must not wait.
	Applied func()

	// Completed is called by the applier after the batches that the groups ended
	// are done: what Applied and Done began to tell may leave.
	Completed func()

	// Failed is called once when the engine has ended because of an error.
	Failed func(error)

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

const (
	partitionsMax = 4096
	headSizeMax   = 1 << 30 // places in a head are 32 bits
	headsMaxMin   = 2
	commitQueue   = 64 // groups between the committer and the applier
)

func (o Options) withDefaults() Options {
	if o.Partitions == 0 {
		o.Partitions = 256
	}
	o.Partitions = min(o.Partitions, partitionsMax)
	if o.HeadSize == 0 {
		o.HeadSize = 64 << 20
	}
	o.HeadSize = min(o.HeadSize, headSizeMax)
	if o.HeadsMax == 0 {
		o.HeadsMax = 4
	}
	o.HeadsMax = max(o.HeadsMax, headsMaxMin)
	if o.HeadRowsMax == 0 {
		o.HeadRowsMax = 500_000
	}
	if o.RowsMax == 0 {
		o.RowsMax = 20_000_000
	}
	if o.SegmentsOpenMax == 0 {
		o.SegmentsOpenMax = 256
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 512 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
