package gateway

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

func TestRepliesAndPushesLeaveInOneWrite(t *testing.T) {
	for _, p := range []wire.Subprotocol{wire.Binary, wire.JSON} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b := newFakeServer(t, Options{})
				f := connect(t, s, "ann", p, time.Time{})
				synctest.Wait()
				before := f.writeCount()
				s.Reply(f.session.id, &wire.ServerMessage{ReplyTo: 1, Done: &wire.Done{}})
				for i := range 100 {
					s.Push([]parley.UserID{user("ann")}, 0, message(uint64(i+1)))
				}
				s.Flush()
				synctest.Wait()
				got := f.got()
				if len(got) != 101 || got[0].ReplyTo != 1 || got[0].Done == nil {
					t.Fatalf("got %d messages, first %v", len(got), got[0])
				}
				for i, m := range got[1:] {
					if m.Message.GetSeq() != uint64(i+1) {
						t.Fatalf("message %d has sequence %d", i, m.Message.GetSeq())
					}
				}
				if writes := f.writeCount() - before; writes != 1 {
					t.Errorf("%d writes", writes)
				}
				if stats := s.Stats(); stats.Frames != 101 || stats.Writes != 1 || stats.Pushes != 100 {
					t.Errorf("stats %+v", stats)
				}
				f.session.unanswered.Add(1) // the reply was of no request
				closeFake(t, s, b, f)
			})
		})
	}
}

func TestPushReachesEveryDeviceButTheSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{Heartbeat: time.Hour})
		phone := connect(t, s, "ann", wire.Binary, time.Time{})
		laptop := connect(t, s, "ann", wire.JSON, time.Time{})
		bob := connect(t, s, "bob", wire.Binary, time.Time{})
		phone.request(send(1, 40), send(2, 41))
		laptop.request(send(1, 99))
		synctest.Wait()
		phone.got()
		laptop.got()

		s.Push([]parley.UserID{user("ann"), user("bob"), user("nobody")}, phone.session.id, message(5))
		s.Flush()
		synctest.Wait()
		if got := phone.got(); len(got) != 0 {
			t.Errorf("the sender's own session was sent %v", got)
		}
		if got := laptop.got(); len(got) != 1 || got[0].Message.GetSeq() != 5 {
			t.Errorf("the sender's other session was sent %v", got)
		}
		if got := bob.got(); len(got) != 1 || got[0].Message.GetSeq() != 5 {
			t.Errorf("the recipient was sent %v", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := phone.got(); len(got) != 0 {
			t.Errorf("a push that a session is left out of was counted: %v", got)
		}
		if !s.Online(user("ann"), 0) || s.Online(user("nobody"), 0) {
			t.Error("Online is wrong")
		}
		closeFake(t, s, b, phone, laptop, bob)
		if s.Online(user("ann"), 0) {
			t.Error("ann is online without a session")
		}
	})
}

// A stream is one client's outbox: whoever sends with it ends the session that
// did so before, and with it what may still come from there.
func TestStreamBelongsToTheNewestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{Heartbeat: time.Hour})
		before := connect(t, s, "ann", wire.Binary, time.Time{})
		other := connect(t, s, "ann", wire.Binary, time.Time{})
		bob := connect(t, s, "bob", wire.Binary, time.Time{})
		before.request(send(1, 41))
		other.request(send(1, 42))
		bob.request(send(1, 41)) // another user's number means nothing
		synctest.Wait()
		if before.closeCode() != 0 {
			t.Fatal("closed by another user's stream")
		}
		now := connect(t, s, "ann", wire.Binary, time.Time{})
		now.request(send(1, 41))
		synctest.Wait()
		if code := before.closeCode(); code != wire.CloseReplaced {
			t.Errorf("close code = %v, want %v", code, wire.CloseReplaced)
		}
		if other.closeCode() != 0 || bob.closeCode() != 0 || now.closeCode() != 0 {
			t.Error("a session with another stream was closed")
		}
		if n := s.Stats().Refused.Replaced; n != 1 {
			t.Errorf("replaced = %d, want 1", n)
		}
		closeFake(t, s, b, before, other, bob, now)
	})
}

// Bytes of the connection of before may come only after the client has sent with
// the new one: then too it is the old one that ends.
func TestLateBytesDoNotEndTheNewestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{Heartbeat: time.Hour})
		before := connect(t, s, "ann", wire.Binary, time.Time{})
		now := connect(t, s, "ann", wire.Binary, time.Time{})
		now.request(send(1, 41))
		before.request(send(1, 41))
		synctest.Wait()
		if code := before.closeCode(); code != wire.CloseReplaced {
			t.Errorf("close code of the older = %v, want %v", code, wire.CloseReplaced)
		}
		if code := now.closeCode(); code != 0 {
			t.Errorf("close code of the newer = %v, want none", code)
		}
		b.mu.Lock()
		if n := b.submitted[before.session.id]; n != 0 {
			t.Errorf("%d late requests were taken", n)
		}
		b.mu.Unlock()
		now.request(send(2, 41))
		synctest.Wait()
		if got := now.got(); len(got) != 2 || got[1].ReplyTo != 2 {
			t.Errorf("the newer was answered %v", got)
		}
		closeFake(t, s, b, before, now)
	})
}

func TestCheckFollowsPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		// Right behind a heartbeat the next is far away.
		for f.read(); f.pings == 0; f.read() {
			time.Sleep(tick)
			synctest.Wait()
		}
		f.got()

		for i := range 3 {
			s.Push([]parley.UserID{user("ann")}, 0, message(uint64(i)))
		}
		s.Flush()
		time.Sleep(checkAfter)
		synctest.Wait()
		if got := f.got(); len(got) != 3 {
			t.Fatalf("%d messages before the check", len(got))
		}
		time.Sleep(2 * tick)
		synctest.Wait()
		if got := f.got(); len(got) != 1 || got[0].Check.GetPushes() != 3 {
			t.Fatalf("instead of the check: %v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := f.got(); len(got) != 0 {
			t.Fatalf("checked again without a push: %v", got)
		}

		// A write that leaves when the check is nearly due takes it along.
		s.Push([]parley.UserID{user("ann")}, 0, message(4))
		s.Flush()
		time.Sleep(checkAfter - 2*tick)
		s.Push([]parley.UserID{user("ann")}, 0, message(5))
		s.Flush()
		synctest.Wait()
		if got := f.got(); len(got) != 3 || got[2].Check.GetPushes() != 5 {
			t.Fatalf("the check did not ride: %v", got)
		}
		time.Sleep(checkAfter + 2*tick)
		synctest.Wait()
		if got := f.got(); len(got) != 0 {
			t.Fatalf("checked twice: %v", got)
		}
		closeFake(t, s, b, f)
	})
}

func TestDroppedPushesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{PushBytesMax: 4 << 10})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		f.stall()
		for i := range 1000 {
			s.Push([]parley.UserID{user("ann")}, 0, message(uint64(i)))
			s.Flush()
		}
		synctest.Wait()
		if bytes := s.Stats().OutboxBytes; bytes > 5<<10 {
			t.Errorf("%d bytes wait", bytes)
		}
		f.unstall()
		time.Sleep(checkAfter + 2*tick)
		synctest.Wait()
		pushes, check := 0, uint64(0)
		for _, m := range f.got() {
			if m.Message != nil {
				pushes++
			}
			check = max(check, m.Check.GetPushes())
		}
		stats := s.Stats()
		if pushes == 0 || pushes > 200 || check != 1000 || stats.PushesDropped != uint64(1000-pushes) || stats.Refused.Outboxes != stats.PushesDropped {
			t.Errorf("%d pushes came, check says %d, stats %+v", pushes, check, stats)
		}
		closeFake(t, s, b, f)
	})
}

func TestPushesAreDroppedWhenAllOutboxesAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{OutboxBytesMax: 10 << 10})
		var fakes []*fake
		var users []parley.UserID
		for _, name := range []string{"a", "b", "c", "d"} {
			f := connect(t, s, name, wire.Binary, time.Time{})
			f.stall()
			fakes, users = append(fakes, f), append(users, user(name))
		}
		for range 200 {
			s.Push(users, 0, message(1))
		}
		s.Flush()
		synctest.Wait()
		stats := s.Stats()
		if stats.OutboxBytes > 11<<10 || stats.Refused.Memory == 0 {
			t.Errorf("stats %+v", stats)
		}
		s.Reply(fakes[0].session.id, &wire.ServerMessage{ReplyTo: 9, Done: &wire.Done{}})
		fakes[0].session.unanswered.Add(1)
		s.Flush()
		fakes[0].unstall()
		synctest.Wait()
		if got := fakes[0].got(); got[len(got)-1].ReplyTo != 9 {
			t.Error("a reply was dropped")
		}
		closeFake(t, s, b, fakes...)
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{ReplyBytesMax: 64 << 10})
		b.submit = func(session wire.SessionID, _ parley.Identity, requests []*wire.Request) {
			for _, r := range requests {
				s.Reply(session, &wire.ServerMessage{ReplyTo: r.Id, Error: &wire.Error{Message: strings.Repeat("x", 1000)}})
			}
			s.Flush()
		}
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		f.stall()
		for i := range 100 {
			f.request(getState(uint32(i + 1)))
		}
		synctest.Wait()
		if stats := s.Stats(); stats.Refused.SlowReplies != 1 || stats.OutboxBytes > 66<<10 {
			t.Fatalf("stats %+v", stats)
		}
		if s.Online(user("ann"), 0) {
			t.Error("a closed session is online")
		}
		time.Sleep(lingerMax + 2*tick) // it never reads the close frame
		<-f.over
		closeFake(t, s, b)
	})
}

func TestUnreadWriteIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{SlowAfter: 20 * time.Second, Heartbeat: time.Hour})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		quick := connect(t, s, "ann", wire.Binary, time.Time{})
		for _, c := range []*fake{f, quick} {
			c.stall()
		}
		s.Push([]parley.UserID{user("ann")}, 0, message(1))
		s.Flush()
		time.Sleep(10 * time.Second)
		quick.unstall()
		quick.stall()
		s.Push([]parley.UserID{user("ann")}, 0, message(2))
		s.Flush()
		time.Sleep(10*time.Second + 3*tick)
		synctest.Wait()
		if stats := s.Stats(); stats.Refused.SlowReads != 1 {
			t.Fatalf("stats %+v", stats)
		}
		f.unstall()
		synctest.Wait()
		if code := f.closeCode(); code != wire.CloseSlow {
			t.Errorf("close code %v", code)
		}
		if code := quick.closeCode(); code != 0 {
			t.Errorf("who reads within the time was closed with %v", code)
		}
		closeFake(t, s, b, quick)
	})
}

func TestSilentSessionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		dead := connect(t, s, "ann", wire.Binary, time.Time{})
		alive := connect(t, s, "bob", wire.Binary, time.Time{})
		for range 12 {
			time.Sleep(15 * time.Second)
			alive.receive(clientFrame(wire.OpPong, true, nil)[:1]) // any byte is life
			alive.receive(clientFrame(wire.OpPong, true, nil)[1:])
		}
		synctest.Wait()
		if stats := s.Stats(); stats.Refused.Dead != 1 || stats.Sessions != 1 {
			t.Errorf("stats %+v", stats)
		}
		checks := 0
		for _, m := range alive.got() {
			if m.Check != nil {
				checks++
			}
		}
		if alive.pings < 5 || checks != alive.pings {
			t.Errorf("%d pings and %d checks in three minutes", alive.pings, checks)
		}
		if alive.closeCode() != 0 || !dead.closeCode().Retry() {
			t.Errorf("alive was closed with %v, dead with %v", alive.closeCode(), dead.closeCode())
		}
		closeFake(t, s, b, alive)
	})
}

// A client that is gone without a word is noticed two heartbeats after the last
// byte of it, wherever between two beats that was.
func TestSilenceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		start := time.Now()
		var fakes []*fake
		var heard, gone []time.Duration
		for i := range 60 {
			f := connect(t, s, "ann"+string(rune('A'+i)), wire.Binary, time.Time{})
			fakes, heard, gone = append(fakes, f), append(heard, time.Duration(i)*time.Second+time.Second), append(gone, 0)
		}
		pong := clientFrame(wire.OpPong, true, nil)
		for time.Since(start) < 130*time.Second {
			time.Sleep(tick)
			synctest.Wait()
			for i, f := range fakes {
				if at := time.Since(start); at <= heard[i] {
					f.receive(pong)
				} else if gone[i] == 0 && f.closeCode() != 0 {
					gone[i] = at
				}
			}
		}
		for i := range fakes {
			if silent := gone[i] - heard[i]; silent < time.Minute || silent > time.Minute+3*tick {
				t.Errorf("heard last after %v, and closed after %v", heard[i], gone[i])
			}
		}
		closeFake(t, s, b, fakes...)
	})
}

// The client is warned a minute before its token expires, or at once.
func TestExpiryIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		for _, c := range []struct{ life, warned time.Duration }{
			{10 * time.Second, 0}, {61 * time.Second, time.Second}, {75 * time.Second, 15 * time.Second}, {200 * time.Second, 140 * time.Second},
		} {
			f := connect(t, s, "ann", wire.JSON, time.Now().Add(c.life))
			start, warnings := time.Now(), 0
			for f.closeCode() == 0 {
				time.Sleep(tick)
				f.receive(clientFrame(wire.OpPong, true, nil))
				synctest.Wait()
				for _, m := range f.got() {
					if m.TokenExpiring == nil {
						continue
					}
					warnings++
					at, left := time.Since(start), time.Duration(m.TokenExpiring.ExpiresInMs)*time.Millisecond
					if at < c.warned || at > c.warned+3*tick || left > c.life-at+2*tick || left < c.life-at-2*tick {
						t.Errorf("of %v: after %v it was told that %v are left", c.life, at, left)
					}
				}
			}
			if at := time.Since(start); warnings != 1 || f.closeCode() != wire.CloseExpired || at < c.life || at > c.life+3*tick {
				t.Errorf("of %v: %d warnings, and closed with %v after %v", c.life, warnings, f.closeCode(), at)
			}
			<-f.over
		}
		closeFake(t, s, b)
	})
}

func TestExpiredTokenEndsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		var fakes []*fake
		for _, after := range []time.Duration{time.Second, 29 * time.Second, 100 * time.Second} {
			f := connect(t, s, "ann", wire.Binary, time.Now().Add(after))
			fakes = append(fakes, f)
		}
		start := time.Now()
		for i, after := range []time.Duration{time.Second, 29 * time.Second, 100 * time.Second} {
			for time.Since(start) < after-tick {
				time.Sleep(tick)
				for _, f := range fakes[i:] {
					f.receive(clientFrame(wire.OpPong, true, nil))
				}
			}
			synctest.Wait()
			if code := fakes[i].closeCode(); code != 0 {
				t.Errorf("closed with %v before its token expired", code)
			}
			time.Sleep(3 * tick)
			synctest.Wait()
			if code := fakes[i].closeCode(); code != wire.CloseExpired {
				t.Errorf("session %d: close code %v", i, code)
			}
		}
		if stats := s.Stats(); stats.Refused.Expired != 3 {
			t.Errorf("stats %+v", stats)
		}
		closeFake(t, s, b)
	})
}

func TestUnansweredRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{RequestsMax: 10})
		var asked []uint32
		b.submit = func(_ wire.SessionID, _ parley.Identity, requests []*wire.Request) {
			for _, r := range requests {
				asked = append(asked, r.Id)
			}
		}
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		var requests []*wire.Request
		for i := range 15 {
			requests = append(requests, send(uint32(i+1), 1))
		}
		f.request(requests...)
		synctest.Wait()
		got := f.got()
		if len(asked) != 10 || asked[9] != 10 || len(got) != 5 || s.Stats().Refused.Requests != 5 {
			t.Fatalf("backend was asked %v, client told %v", asked, got)
		}
		for i, m := range got {
			if m.ReplyTo != uint32(11+i) || m.Error.GetCode() != uint32(parley.Overloaded) || m.Error.Name != "overloaded" {
				t.Errorf("told %v", m)
			}
		}
		s.Reply(f.session.id, nil) // one was done, without an answer
		f.request(send(16, 1), send(17, 1))
		if len(asked) != 11 || asked[10] != 16 {
			t.Errorf("backend was asked %v", asked)
		}
		closeFake(t, s, b, f)
	})
}

func TestRequestFloodIsRefusedThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{RequestsPerSecond: 2000, Heartbeat: time.Hour})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		batch := make([]*wire.Request, 500)
		for i := range batch {
			batch[i] = getState(uint32(i + 1))
		}
		for range 4 { // the burst
			f.request(batch...)
		}
		synctest.Wait()
		for _, m := range f.got() {
			if m.Done == nil {
				t.Fatalf("refused within the burst: %v", m)
			}
		}
		f.request(batch...)
		synctest.Wait()
		for _, m := range f.got() {
			if m.Error.GetCode() != uint32(parley.Overloaded) {
				t.Fatalf("not refused past the burst: %v", m)
			}
		}
		time.Sleep(time.Second) // who waits may go on
		f.request(batch...)
		synctest.Wait()
		if got := f.got(); got[0].Done == nil || f.closeCode() != 0 {
			t.Fatalf("refused after a second: %v", got[0])
		}
		for range 10 {
			f.receive(clientMessage(wire.Binary, batch...))
		}
		synctest.Wait()
		if code := f.closeCode(); code != wire.CloseTooManyRequests {
			t.Errorf("close code %v", code)
		}
		if stats := s.Stats(); stats.Refused.Floods != 1 || stats.Refused.Rate == 0 {
			t.Errorf("stats %+v", stats)
		}
		closeFake(t, s, b)
	})
}

func TestPingsAreAnsweredAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{RequestsPerSecond: 2000, Heartbeat: time.Hour})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		f.receive(clientFrame(wire.OpPing, true, []byte("one")))
		synctest.Wait()
		if f.read(); len(f.pongs) != 1 || f.pongs[0] != "one" {
			t.Fatalf("pongs %q", f.pongs)
		}
		f.stall()
		for i := range 1000 {
			f.receive(clientFrame(wire.OpPing, true, []byte{byte(i)}))
		}
		synctest.Wait()
		if bytes := s.Stats().OutboxBytes; bytes > 200 {
			t.Errorf("a flood of pings fills %d bytes", bytes)
		}
		f.unstall()
		synctest.Wait()
		if f.read(); len(f.pongs) > 3 || f.pongs[len(f.pongs)-1] != string([]byte{999 & 0xff}) {
			t.Errorf("pongs %q", f.pongs)
		}
		for range 10000 {
			f.receive(clientFrame(wire.OpPing, true, nil))
		}
		synctest.Wait()
		if code := f.closeCode(); code != wire.CloseTooManyRequests {
			t.Errorf("close code %v", code)
		}
		closeFake(t, s, b)
	})
}

// TestWritesKeepTheirOrder has many goroutines add and flush at once; the fake
// notices a write while another is not whole.
func TestWritesKeepTheirOrder(t *testing.T) {
	s, b := newFakeServer(t, Options{PushBytesMax: 64 << 20, OutboxBytesMax: 64 << 20})
	f := connect(t, s, "ann", wire.Binary, time.Time{})
	const writers, pushes = 8, 2000
	done := make(chan struct{}, writers)
	for w := range writers {
		go func() {
			for i := range pushes {
				s.Push([]parley.UserID{user("ann")}, 0, &wire.ServerMessage{Message: &wire.Message{Ordinal: uint64(w), Seq: uint64(i + 1)}})
				s.Flush()
			}
			done <- struct{}{}
		}()
	}
	for range writers {
		<-done
	}
	var last [writers]uint64
	count := 0
	eventually(t, "all pushes", func() bool {
		for _, m := range f.got() {
			if m.Message == nil {
				continue
			}
			if m.Message.Seq != last[m.Message.Ordinal]+1 {
				t.Fatalf("sequence %d after %d", m.Message.Seq, last[m.Message.Ordinal])
			}
			last[m.Message.Ordinal]++
			count++
		}
		return count == writers*pushes
	})
	closeFake(t, s, b, f)
}

func TestEveryCutOfAFrameIsPutTogether(t *testing.T) {
	s, b := newFakeServer(t, Options{})
	f := connect(t, s, "ann", wire.JSON, time.Time{})
	whole := append(clientMessage(wire.JSON, getState(1), getState(2)), clientMessage(wire.JSON, send(3, 1))...)
	whole = append(whole, clientFrame(wire.OpPing, true, []byte("x"))...)
	for cut := range whole {
		bytes := append([]byte(nil), whole...)
		f.receive(bytes[:cut])
		f.receive(bytes[cut:])
		var got []*wire.ServerMessage
		eventually(t, "answers", func() bool {
			for _, m := range f.got() {
				if m.Check == nil {
					got = append(got, m)
				}
			}
			return len(got) == 3
		})
		if f.session.partial != nil {
			t.Fatal("a whole frame was kept")
		}
	}
	closeFake(t, s, b, f)
}
