package bench

import (
	"context"
	"runtime/metrics"
	"time"
)

// usage is what the machine and the two processes have used so far.
type usage struct {
	at          time.Time
	harness     time.Duration // CPU
	server      time.Duration // CPU; 0 without a server of ours
	machine     time.Duration // CPU of everybody
	written     uint64        // bytes that the server gave to its disk
	flushes     float64       // of the server's heads; -1 where unknown
	allocations uint64        // of the harness
}

// usage reads everything; s may be nil.
func (s *Server) usage(ctx context.Context) (usage, error) {
	u, err := readUsage(s.pid())
	if err != nil {
		return u, err
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 {
		u.allocations = sample[0].Value.Uint64()
	}
	u.flushes = s.flushes(ctx)
	return u, nil
}
