package scenario

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// An SDK that tells a message twice, or one out of order, fails every scenario,
// whatever it expects.
func TestTwiceIsAFault(t *testing.T) {
	room := parley.ConversationID{1}
	message := func(seq parley.Seq) client.Event {
		return client.Received{Conversation: room, Messages: []client.Message{{Conversation: room, Seq: seq, From: "bob", Body: []byte("hello")}}}
	}
	for name, c := range map[string]struct {
		events []client.Event
		fault  string
	}{
		"in order":          {[]client.Event{message(1), message(2), message(5)}, ""},
		"twice":             {[]client.Event{message(1), message(2), message(2)}, "received 2"},
		"out of order":      {[]client.Event{message(2), message(1)}, "received 1"},
		"after a restore":   {[]client.Event{message(1), message(2), client.Restored{Conversation: room, From: 2}, message(2)}, ""},
		"before a restore":  {[]client.Event{message(1), message(2), client.Restored{Conversation: room, From: 2}, message(1)}, "received 1"},
		"of another repeat": {[]client.Event{message(1), message(1), message(2)}, "received 1"},
	} {
		a := newActor(nil, "ann", Actor{User: "ann"})
		a.reset()
		for _, e := range c.events {
			a.take(e)
		}
		if got := errorText(a.fault); (got == "") != (c.fault == "") || !strings.Contains(got, c.fault) {
			t.Errorf("%s: %q, want %q", name, got, c.fault)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// echo answers what it hears.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c) // until its other end goes
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// wired is a connection through a proxy in front of an echo.
func wired(t *testing.T, disturb func(*proxy)) (*proxy, net.Conn) {
	t.Helper()
	at := echo(t)
	p, err := newProxy(func() (string, bool) { return at, true })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	disturb(p)
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return p, c
}

var bothSides = []side{toServer, toClient}

// say writes, and wants to hear the same.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	heard := make([]byte, len(text))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, heard); err != nil || string(heard) != text {
		t.Fatalf("heard %q (%v), want %q", heard, err, text)
	}
}

func TestProxyCarriesAndDelays(t *testing.T) {
	p, c := wired(t, func(*proxy) {})
	say(t, c, strings.Repeat("hello ", 100_000))
	p.set(bothSides, func(f *faults) { f.delay = 100 * time.Millisecond })
	begun := time.Now()
	say(t, c, "slow")
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("a delay of 100 ms each way took %v", took)
	}
	p.clear()
	p.set(bothSides, func(f *faults) { f.split = true })
	say(t, c, strings.Repeat("bytes", 1000))
}

func TestProxyCuts(t *testing.T) {
	p, c := wired(t, func(p *proxy) {
		p.set([]side{toServer}, func(f *faults) { f.cutting, f.cutAfter = true, 5 })
	})
	if _, err := io.WriteString(c, "12345678"); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(c); err == nil || len(all) > 5 {
		t.Errorf("after 5 bytes it was not cut: %q, %v", all, err)
	}
	again, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	say(t, again, "12345678")
	p.cut()
	if _, err := again.Read(make([]byte, 1)); err == nil {
		t.Error("it was not cut")
	}
}

func TestProxyIsSilent(t *testing.T) {
	p, c := wired(t, func(*proxy) {})
	say(t, c, "hello")
	p.silence([]side{toClient})
	if _, err := io.WriteString(c, "anybody?"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("a silent connection said something: %v", err)
	}
	other, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	p.clear()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("it stays silent after all faults ended: %v", err)
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func TestProxyRefuses(t *testing.T) {
	p, _ := wired(t, func(*proxy) {})
	p.refuseFor(time.Minute)
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		return // refused before Dial returned
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it was not refused")
	}
}
