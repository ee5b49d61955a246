package engine

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchDisk looks at the room on the disk once a second. Sends are refused
// before it is gone: Pebble ends the process when it cannot write its own log.
func (e *Engine) watchDisk() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		usage, err := e.fs.GetDiskUsage(e.dir)
		if errors.Is(err, vfs.ErrUnsupported) {
			return
		}
		if err == nil {
			e.noteRoom(usage.AvailBytes)
		}
		select {
		case <-e.ended:
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) noteRoom(available uint64) {
	low := available < e.opts.ReserveBytes
	if low == e.diskLow.Load() {
		return
	}
	e.diskLow.Store(low)
	e.opts.Logger.Warn("room on the disk", "dir", e.dir, "available", available,
		"reserve", e.opts.ReserveBytes, "sends refused", low)
}
