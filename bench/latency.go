package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A latency is kept in microseconds to three digits, up to two minutes.
const (
	latencyMax    = 2 * time.Minute
	latencyDigits = 3
)

// shards is the number of histograms that connections write to. A shard serves
// many connections, one at a time, for the length of a wake-up.
const shards = 8

// latencies is the histograms of a run.
type latencies struct{ shard [shards]latencyShard }

type latencyShard struct {
	mu           sync.Mutex
	ack, deliver *hdrhistogram.Histogram
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits)
}

func newLatencies() *latencies {
	l := &latencies{}
	for i := range l.shard {
		l.shard[i].ack, l.shard[i].deliver = newHistogram(), newHistogram()
	}
	return l
}

// record adds the latencies of one wake-up of one user.
func (l *latencies) record(user int32, acks, delivers []time.Duration) {
	s := &l.shard[int(user)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range acks {
		recordLatency(s.ack, d)
	}
	for _, d := range delivers {
		recordLatency(s.deliver, d)
	}
}

// recordLatency counts what lies past the histogram's end as its end.
func recordLatency(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d, 0), latencyMax).Microseconds())
}

// merged returns all shards as one.
func (l *latencies) merged() (ack, deliver *hdrhistogram.Histogram) {
	ack, deliver = newHistogram(), newHistogram()
	for i := range l.shard {
		s := &l.shard[i]
		s.mu.Lock()
		ack.Merge(s.ack)
		deliver.Merge(s.deliver)
		s.mu.Unlock()
	}
	return ack, deliver
}

// percentiles are those that a report shows, by the end of their name.
var percentiles = []struct {
	name string
	of   float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}, {"max", 100}}

// addPercentiles puts a histogram into metrics as name_ms_p50 and so on.
func addPercentiles(metrics map[string]float64, name string, h *hdrhistogram.Histogram) {
	if h.TotalCount() == 0 {
		return
	}
	for _, p := range percentiles {
		metrics[name+"_ms_"+p.name] = float64(h.ValueAtPercentile(p.of)) / 1000
	}
}
