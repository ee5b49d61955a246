package gateway

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// relay is a backend that works as the real one does: requests are queued, and
// one goroutine, the applier, answers all that has gathered and then flushes.
// Each send is answered and pushed to the user who is the sender's pair.
type relay struct {
	server *Server
	pairs  map[parley.UserID]parley.UserID

	mu    sync.Mutex
	queue []relayed
	spare []relayed
	wake  chan struct{}
}

type relayed struct {
	session wire.SessionID
	who     parley.UserID
	id      uint32
}

func (r *relay) submit(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
	r.mu.Lock()
	for _, q := range requests {
		r.queue = append(r.queue, relayed{session, who.User, q.Id})
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relay) run(stop <-chan struct{}) {
	reply := &wire.ServerMessage{Sent: &wire.Sent{Seq: 1, Version: 2, At: 3}}
	push := &wire.ServerMessage{Message: &wire.Message{Conversation: conversation, Seq: 1, From: "somebody", Text: string(make([]byte, 200))}}
	to := make([]parley.UserID, 2)
	for {
		select {
		case <-stop:
			return
		case <-r.wake:
		}
		r.mu.Lock()
		batch := r.queue
		r.queue = r.spare[:0]
		r.mu.Unlock()
		for _, q := range batch {
			reply.ReplyTo = q.id
			r.server.Reply(q.session, reply)
			to[0], to[1] = q.who, r.pairs[q.who]
			r.server.Push(to, q.session, push)
		}
		r.server.Flush()
		r.spare = batch
	}
}

// cpu is what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// relayPairs connects pairs of users to a relay.
func relayPairs(b *testing.B, pairs int) (*Server, []*client) {
	s, backend, addr := newServer(b, Options{RequestsPerSecond: 1 << 30, SessionsMax: 4096})
	r := &relay{server: s, pairs: make(map[parley.UserID]parley.UserID), wake: make(chan struct{}, 1)}
	backend.submit = r.submit
	var clients []*client
	for i := range pairs {
		names := [2]string{fmt.Sprint("left", i), fmt.Sprint("right", i)}
		r.pairs[user(names[0])], r.pairs[user(names[1])] = user(names[1]), user(names[0])
		for _, name := range names {
			clients = append(clients, dial(b, addr, name, wire.Binary))
		}
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { r.run(stop) })
	b.Cleanup(func() { close(stop); running.Wait() })
	return s, clients
}

// exchange sends rounds of one WebSocket message and reads as many frames as
// they cause here: a receipt for each own send, a push for each of the pair's.
func exchange(conn net.Conn, sent []byte, burst, rounds int) {
	var frames wire.Reassembler
	frames.Limit = serverFrameMax
	var buffer [64 << 10]byte
	held, got := 0, 0 // the pair may be a round ahead
	for range rounds {
		if _, err := conn.Write(sent); err != nil {
			return
		}
		for got -= 2 * burst; got < 0; {
			n, err := conn.Read(buffer[held:])
			if err != nil {
				return
			}
			b := buffer[:held+n]
			for {
				f, n, err := frames.Next(b)
				if err != nil || n == 0 {
					break
				}
				b = b[n:]
				got += items(f)
			}
			held = copy(buffer[:], b)
		}
	}
}

// items counts the messages of a frame without decoding them.
func items(f wire.Frame) (n int) {
	if f.Opcode != wire.OpBinary {
		return 0
	}
	for b := f.Payload; len(b) > 0; n++ {
		size, k := int(b[0]), 1
		for shift := 7; b[k-1]&0x80 != 0; shift += 7 {
			if k == 1 {
				size &= 0x7f
			}
			size |= int(b[k]&0x7f) << shift
			k++
		}
		b = b[k+size:]
	}
	return n
}

// BenchmarkRelay saturates the gateway: each client has one burst in flight.
// An operation is a message: one request, one receipt, one push. The CPU is
// that of the gateway and the clients together.
func BenchmarkRelay(b *testing.B) {
	for _, burst := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("sessions=200/burst=%d", burst), func(b *testing.B) {
			s, clients := relayPairs(b, 100)
			requests := make([]*wire.Request, burst)
			for i := range requests {
				requests[i] = &wire.Request{Id: uint32(i + 1), Send: &wire.Send{Conversation: conversation, Stream: 1, Kind: wire.Kind_KIND_TEXT, Text: string(make([]byte, 200))}}
			}
			sent := make([][]byte, len(clients))
			for i := range clients {
				for _, r := range requests {
					r.Send.Stream = uint64(i + 1)
				}
				sent[i] = clientMessage(wire.Binary, requests...)
			}
			rounds := b.N/(len(clients)*burst) + 1
			before, used := s.Stats(), cpu()
			b.ResetTimer()
			var running sync.WaitGroup
			for i, c := range clients {
				running.Go(func() { exchange(c.conn, sent[i], burst, rounds) })
			}
			running.Wait()
			b.StopTimer()
			after, messages := s.Stats(), float64(rounds*len(clients)*burst)
			b.ReportMetric(b.Elapsed().Seconds()*1e9/messages, "ns/op")
			b.ReportMetric(float64((cpu()-used).Nanoseconds())/1e3/messages, "cpu-us/op")
			b.ReportMetric(float64(after.Frames-before.Frames)/float64(after.Writes-before.Writes), "frames/write")
		})
	}
}

// BenchmarkLightLoad sends 2,000 messages a second, one at a time, and measures
// from the send to the receipt.
func BenchmarkLightLoad(b *testing.B) {
	s, clients := relayPairs(b, 100)
	sent := clientMessage(wire.Binary, send(1, 1))
	for i := 1; i < len(clients); i += 2 { // the recipients only read
		go func() {
			var buffer [64 << 10]byte
			for {
				if _, err := clients[i].conn.Read(buffer[:]); err != nil {
					return
				}
			}
		}()
	}
	var took []time.Duration
	used, before := cpu(), s.Stats()
	b.ResetTimer()
	next := time.Now()
	var buffer [64 << 10]byte
	for i := range b.N {
		c := clients[i*2%len(clients)]
		start := time.Now()
		c.write(sent)
		if _, err := c.conn.Read(buffer[:]); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		next = next.Add(500 * time.Microsecond)
		time.Sleep(time.Until(next))
	}
	b.StopTimer()
	after := s.Stats()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(after.Frames-before.Frames)/float64(after.Writes-before.Writes), "frames/write")
}

// BenchmarkConnect opens and ends sessions, one after the other.
func BenchmarkConnect(b *testing.B) {
	s, _, addr := newServer(b, Options{})
	used := cpu()
	for b.Loop() {
		c := dial(b, addr, "ann", wire.Binary)
		c.conn.Close()
		for s.Stats().Sessions > 8 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
}

// BenchmarkPush encodes a push and puts it in the outboxes of many sessions,
// without sockets.
func BenchmarkPush(b *testing.B) {
	for _, to := range []int{1, 2, 500} {
		b.Run(fmt.Sprintf("sessions=%d", to), func(b *testing.B) {
			s, backend := newFakeServer(b, Options{Heartbeat: time.Hour})
			users := make([]parley.UserID, to)
			sessions := make([]*session, to)
			for i := range users {
				name := fmt.Sprint("user", i)
				users[i] = user(name)
				sessions[i] = sinkSession(b, s, name)
			}
			push := &wire.ServerMessage{Message: &wire.Message{Conversation: conversation, Seq: 1, From: "somebody", Text: string(make([]byte, 200))}}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				s.Push(users, 0, push)
				if n%16 == 0 {
					s.Flush()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*to), "ns/session")
			for _, c := range sessions {
				c.ended()
			}
			closeFake(b, s, backend)
		})
	}
}
