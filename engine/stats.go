package engine

import (
	"sync/atomic"
)

type counters struct {
	applied, refused, groups, flushes     atomic.Uint64
	refusedFull, refusedDisk, refusedRows atomic.Uint64
	headsWaiting                          atomic.Int64
}

// Stats tells what an engine has done since Open, and how near its limits are.
type Stats struct {
	Applied, Refused uint64 // commands, and those among them that apply refused
	Groups           uint64 // of records that became durable together
	Flushes          uint64 // heads written as segments

	RefusedFull uint64 // batches: heads wait for their flush (HeadsMax)
	RefusedDisk uint64 // batches: the disk is nearly full (ReserveBytes)
	RefusedRows uint64 // batches: too many rows (RowsMax)

	Rows, RowsMax                 int64
	HeadsWaiting, HeadsMax        int // closed, and not yet named by the catalogue
	SegmentsOpen, SegmentsOpenMax int
	DiskLow                       bool
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	return Stats{
		Applied: e.stats.applied.Load(), Refused: e.stats.refused.Load(),
		Groups: e.stats.groups.Load(), Flushes: e.stats.flushes.Load(),
		RefusedFull: e.stats.refusedFull.Load(), RefusedDisk: e.stats.refusedDisk.Load(),
		RefusedRows: e.stats.refusedRows.Load(),
		Rows:        e.rowCount.Load(), RowsMax: int64(e.opts.RowsMax),
		HeadsWaiting: int(e.stats.headsWaiting.Load()), HeadsMax: e.opts.HeadsMax,
		SegmentsOpen: e.segments.count(), SegmentsOpenMax: e.opts.SegmentsOpenMax,
		DiskLow: e.diskLow.Load(),
	}
}
