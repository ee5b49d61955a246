package engine

import "time"

// watchDisk looks at the room on the disk once a second. Sends are refused
// before it is gone: Pebble ends the process when it cannot write its own log.
func (e *Engine) watchDisk() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		usage, err := e.fs.GetDiskUsage(e.dir)
		if err != nil {
			return // this file system does not say
		}
		low := usage.AvailBytes < e.opts.ReserveBytes
		if low != e.diskLow.Load() {
			e.diskLow.Store(low)
			e.opts.Logger.Warn("room on the disk", "dir", e.dir, "available", usage.AvailBytes,
				"reserve", e.opts.ReserveBytes, "sends refused", low)
		}
		select {
		case <-e.ended:
			return
		case <-tick.C:
		}
	}
}
