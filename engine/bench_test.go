package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkAppend appends batches of 64 messages of 200 bytes on the disk, with
// 32 of them on their way, to 500 conversations.
//
//	go test ./engine -run '^$' -bench Append -benchmem -count 6
func BenchmarkAppend(b *testing.B) {
	const commands, inFlight = 64, 32
	e := open(b, vfs.Default, b.TempDir(), Plain{}, Options{Partitions: 256, HeadSize: 64 << 20})
	s := newSender(e)
	ready := make(chan *Batch, inFlight)
	done := func(b *Batch) { ready <- b }
	for range inFlight {
		ready <- s.batch(commands, 200, done)
	}
	for b.Loop() {
		batch := <-ready
		if batch.Err != nil {
			b.Fatal(batch.Err)
		}
		s.advance(batch)
		insist(b, e, batch)
	}
	for range inFlight {
		<-ready
	}
	b.ReportMetric(float64(b.N)*commands/b.Elapsed().Seconds(), "msg/s")
	closeEngine(b, e)
}
