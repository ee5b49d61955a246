package presence

import "sync"

// queue holds the devices whose entry in Redis has to be written: what to write is
// looked up when it is their turn, so a device that comes and goes a hundred times
// is one entry.
type queue struct {
	wake chan struct{} // holds one
	max  int

	mu       sync.Mutex // guards below
	devices  map[deviceKey]struct{}
	overflow bool
	dropped  uint64
}

func newQueue(limit int) *queue {
	return &queue{wake: make(chan struct{}, 1), max: limit, devices: make(map[deviceKey]struct{})}
}

// put reports false if the device was dropped, which overflowed tells, too.
func (q *queue) put(keys ...deviceKey) bool {
	ok := true
	q.mu.Lock()
	for _, k := range keys {
		if _, waits := q.devices[k]; waits || len(q.devices) < q.max {
			q.devices[k] = struct{}{}
			continue
		}
		q.dropped++
		q.overflow, ok = true, false
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return ok
}

// take moves up to limit devices to the list.
func (q *queue) take(list []deviceKey, limit int) []deviceKey {
	q.mu.Lock()
	defer q.mu.Unlock()
	for k := range q.devices {
		if len(list) == limit {
			break
		}
		list = append(list, k)
		delete(q.devices, k)
	}
	return list
}

// takeOverflow reports whether anything was dropped since it was asked last.
func (q *queue) takeOverflow() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.overflow
	q.overflow = false
	return was
}

func (q *queue) length() (length int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.devices), q.dropped
}
