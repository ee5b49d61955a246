//go:build !race

package cluster

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/presence"
	"github.com/parleychat/parley/wire"
)

// outboxes encode what sessions are told, as a gateway does, and keep nothing.
type outboxes struct {
	outbox   []byte
	answered int
	done     chan struct{}
}

func (o *outboxes) Reply(_ wire.SessionID, m *wire.ServerMessage) {
	if m != nil {
		o.outbox = wire.AppendServerMessage(o.outbox[:0], wire.Binary, m)
	}
	o.answered++
}

func (o *outboxes) Push(_ []parley.UserID, _ wire.SessionID, m *wire.ServerMessage) {
	o.outbox = wire.AppendServerMessage(o.outbox[:0], wire.Binary, m)
}

func (o *outboxes) Hint([]wire.SessionID, *wire.ServerMessage) {}

func (o *outboxes) Sessions(_ parley.UserID, into []wire.SessionID) []wire.SessionID { return into }

func (o *outboxes) Device(wire.SessionID) (parley.DeviceID, bool) { return parley.DeviceID{}, true }

func (o *outboxes) EndDevice(parley.UserID, parley.DeviceID, wire.CloseCode, string) {}

func (o *outboxes) Online(parley.UserID, wire.SessionID) bool { return true }

func (o *outboxes) Flush() {
	if o.answered == allocBatch {
		o.answered = 0
		o.done <- struct{}{}
	}
}

const allocBatch = 64

// TestSendsAllocateNothing follows a batch from decoded frames through the log,
// apply, the pushes to everybody and the receipts in the outbox.
func TestSendsAllocateNothing(t *testing.T) {
	out := &outboxes{done: make(chan struct{}, 1)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	r := New(out, verifyName, Options{Logger: quiet})
	s, err := chat.Open(vfs.Default, t.TempDir(), chat.Options{
		Deliverer: r, Engine: engine.Options{Partitions: 16, HeadSize: 64 << 20, Logger: quiet},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	registry := presence.NewMemory(presence.Options{Changed: r.Changed})
	defer func() { _ = registry.Close() }()
	r.Start(s, registry)
	defer func() { _ = r.Close() }()
	ann, err := s.Login(t.Context(), 0, "ann", chat.Device{})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := s.Login(t.Context(), 0, "bob", chat.Device{})
	if err != nil {
		t.Fatal(err)
	}
	room, err := s.CreateDirect(t.Context(), ann.Identity, bob.User)
	if err != nil {
		t.Fatal(err)
	}
	sends := make([]*wire.Request, allocBatch)
	marks := make([]*wire.Request, allocBatch)
	for i := range sends {
		sends[i] = &wire.Request{Id: uint32(i + 1), Send: &wire.Send{
			Conversation: room[:], Stream: uint64(ann.Stream), Kind: wire.Kind_KIND_TEXT, Text: "a message of the usual kind",
		}}
		marks[i] = &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: room[:]}}}}
	}
	number := uint32(0)
	round := func() {
		for _, q := range sends {
			number++
			q.Send.Number = number
		}
		r.Submit(1, ann.Identity, sends)
		<-out.done
		for i, q := range marks {
			q.Acknowledge.Marks[0].Delivered = uint64(number) - allocBatch + uint64(i) + 1
			q.Acknowledge.Marks[0].Read = q.Acknowledge.Marks[0].Delivered
		}
		r.Submit(2, bob.Identity, marks)
		<-out.done
	}
	for range 50 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n > 0 {
		t.Errorf("%v allocations for %d sends and %d acknowledgements", n, allocBatch, allocBatch)
	}
}
