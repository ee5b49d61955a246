package gateway

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// TestNewcomerSurvivesItsPredecessor gives a newcomer the descriptor of a
// connection that was closed while its event waits in the poller's batch. The
// event must not end the newcomer.
func TestNewcomerSurvivesItsPredecessor(t *testing.T) {
	s, b, addr := newServer(t, Options{})
	answer := b.submit
	entered, leave := make(chan struct{}), make(chan struct{})
	b.submit = func(session wire.SessionID, who parley.Identity, requests []*wire.Request) {
		if who.User == user("gate") {
			entered <- struct{}{}
			<-leave
		}
		answer(session, who, requests)
	}
	gate, old := dial(t, addr, "gate", wire.Binary), dial(t, addr, "old", wire.Binary)
	eventually(t, "both to be in the poller", func() bool { return nbioOf(s, "gate") != nil && nbioOf(s, "old") != nil })
	predecessor := nbioOf(s, "old").conn
	client, newcomer := pair(t)

	gate.request(getState(1))
	<-entered // The poller is held. What happens now is one batch, in this order:
	gate.request(getState(2))
	time.Sleep(20 * time.Millisecond)
	s.poller.post(task{kind: taskBarrier, done: make(chan struct{})}) // the bell
	time.Sleep(20 * time.Millisecond)
	_ = old.conn.(*net.TCPConn).SetLinger(0)
	old.conn.Close()
	time.Sleep(20 * time.Millisecond)
	leave <- struct{}{}
	<-entered // held again, by the first event of the batch

	fillBelow(t, predecessor.Hash())
	_ = predecessor.Close() // as a failed write does
	c, err := s.admit(parley.Identity{User: user("fresh")}, parley.DeviceID{}, wire.Binary, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.poller.adopt(newcomer, c, nil); err != nil {
		t.Fatal(err)
	}
	leave <- struct{}{}

	eventually(t, "the newcomer to be in the poller", func() bool { return nbioOf(s, "fresh") != nil })
	if got := nbioOf(s, "fresh").conn.Hash(); got != predecessor.Hash() {
		t.Fatalf("the newcomer has descriptor %d, its predecessor had %d: nothing was tested", got, predecessor.Hash())
	}
	s.poller.barrier() // the batch is over
	client.request(getState(1))
	client.answer(1)
}

// nbioOf is the connection of a user's session, if it is open.
func nbioOf(s *Server, name string) *nbioConn {
	for _, c := range s.registry.of(user(name)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if conn, ok := c.conn.(*nbioConn); ok {
			return conn
		}
	}
	return nil
}

// pair is a connection with a client of the binary subprotocol at one end.
func pair(t *testing.T) (*client, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close() })
	_ = dialed.SetDeadline(time.Now().Add(30 * time.Second))
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, dialed)
	c.protocol = wire.Binary
	return c, accepted.(*net.TCPConn)
}

// fillBelow takes every free descriptor below one that is in use.
func fillBelow(t *testing.T, fd int) {
	t.Helper()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if int(f.Fd()) > fd {
			return
		}
	}
}
