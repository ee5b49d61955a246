package chat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// coreRoom is a direct conversation of the benchmark.
type coreRoom struct {
	id   parley.ConversationID
	ends [2]int           // users
	next [2]parley.Number // of each end's stream
	seq  parley.Seq       // of the newest message acknowledged
	from int              // whose
}

// BenchmarkCore sends batches of 64 messages and of the marks for those sent
// before to 100,000 direct conversations, picked at random, with 16 batches on
// their way: the log, the rules, the flushes and the catalogue, on the disk.
//
//	go test ./chat -run '^$' -bench Core -benchmem -benchtime 20000x
func BenchmarkCore(b *testing.B) {
	const users, rooms, size, inFlight = 1000, 100_000, 64, 16
	s, err := Open(vfs.Default, b.TempDir(), testOptions(Options{Engine: engine.Options{Partitions: 256, HeadSize: 64 << 20}}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	logins, all := coreRooms(b, s, users, rooms)
	rng := rand.New(rand.NewPCG(1, 1))
	body := make([]byte, 200)
	type flight struct {
		b    *Batch
		sent []int // rooms, in the order of the sends
	}
	ready := make(chan *flight, inFlight)
	for range inFlight {
		f := &flight{}
		f.b = s.NewBatch(func(*Batch) { ready <- f })
		ready <- f
	}
	cpu := cpuTime(b)
	marks := 0
	b.ResetTimer()
	for b.Loop() {
		f := <-ready
		for i, n := range f.sent {
			o := f.b.Outcome(i)
			if o.Code != parley.OK {
				b.Fatalf("send: %+v", o)
			}
			r := &all[n]
			if o.Seq > r.seq {
				r.seq = o.Seq
			}
		}
		sent := f.sent
		f.b.Reset()
		f.sent = nil
		var fresh []int
		for range size {
			n := rng.IntN(rooms)
			r := &all[n]
			end := rng.IntN(2)
			r.next[end]++
			who := logins[r.ends[end]]
			d := parley.Draft{Conversation: r.id, Stream: who.Stream, Number: r.next[end], Kind: parley.KindText, Body: body}
			if _, err := f.b.Send(who.Identity, &d); err != nil {
				b.Fatal(err)
			}
			r.from = end
			fresh = append(fresh, n)
		}
		for _, n := range sent {
			r := &all[n]
			a := Acknowledgement{Conversation: r.id, Watermarks: parley.Watermarks{Delivered: r.seq, Read: r.seq}}
			if _, err := f.b.Acknowledge(logins[r.ends[1-r.from]].Identity, a); err == nil {
				marks++
			} else if !errors.Is(err, ErrFacts) {
				b.Fatal(err)
			}
		}
		f.sent = fresh
		if err := f.b.Append(); err != nil {
			b.Fatal(err)
		}
	}
	for range inFlight {
		<-ready
	}
	took := cpuTime(b) - cpu
	n := float64(b.N) * size
	b.ReportMetric(float64(took)/n/1000, "cpu-us/msg")
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(marks)/n, "marks/msg")
	b.ReportMetric(float64(s.Engine().Stats().Flushes), "flushes")
}

// cpuTime is the nanoseconds that the process has used.
func cpuTime(t testing.TB) int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// coreRooms makes users and conversations among them.
func coreRooms(t testing.TB, s *Service, users, rooms int) ([]Login, []coreRoom) {
	logins := make([]Login, users)
	for i := range logins {
		l, err := s.Login(t.Context(), parley.DefaultTenant, fmt.Sprint("user-", i), Device{})
		if err != nil {
			t.Fatal(err)
		}
		logins[i] = l
	}
	all := make([]coreRoom, rooms)
	var makers sync.WaitGroup
	for m := range 64 {
		makers.Go(func() {
			for n := m; n < rooms; n += 64 {
				x, y := n%users, (n%users+1+n/users)%users
				id, err := s.CreateDirect(t.Context(), logins[x].Identity, logins[y].User)
				if err != nil {
					t.Error(err)
					return
				}
				all[n] = coreRoom{id: id, ends: [2]int{x, y}}
			}
		})
	}
	makers.Wait()
	return logins, all
}
