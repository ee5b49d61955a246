package cluster_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/cluster"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/presence"
	"github.com/parleychat/parley/wire"
)

// printer is sockets that print.
type printer struct{ flushed chan struct{} }

func (p printer) Reply(_ wire.SessionID, m *wire.ServerMessage) {
	if m.State != nil {
		fmt.Println("made, with", m.State.Peer.User)
	}
}
func (p printer) Push([]parley.UserID, wire.SessionID, *wire.ServerMessage)        {}
func (p printer) Hint([]wire.SessionID, *wire.ServerMessage)                       {}
func (p printer) Online(parley.UserID, wire.SessionID) bool                        { return false }
func (p printer) Sessions(parley.UserID, []wire.SessionID) []wire.SessionID        { return nil }
func (p printer) Device(wire.SessionID) (parley.DeviceID, bool)                    { return parley.DeviceID{}, false }
func (p printer) EndDevice(parley.UserID, parley.DeviceID, wire.CloseCode, string) {}
func (p printer) Flush()                                                           { p.flushed <- struct{}{} }

func Example() {
	ctx := context.Background()
	verify := func(token string) (parley.TenantID, string, time.Time, error) {
		return parley.DefaultTenant, token, time.Time{}, nil // who says he is ann is ann
	}
	sockets := printer{make(chan struct{}, 10)}
	router := cluster.New(sockets, verify, cluster.Options{})
	service, err := chat.Open(vfs.NewMem(), "data", chat.Options{
		Deliverer: router, Engine: engine.Options{Partitions: 4, HeadSize: 1 << 20},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := presence.NewMemory(presence.Options{Changed: router.Changed})
	router.Start(service, registry)
	ann, _, _, _ := router.Authenticate(ctx, "ann", &wire.Device{})
	_, _, _, _ = router.Authenticate(ctx, "bob", &wire.Device{})
	router.Submit(1, ann, []*wire.Request{{Id: 1, Create: &wire.Create{Peer: "bob"}}})
	<-sockets.flushed
	fmt.Println(router.Close(), registry.Close(), service.Close())
	// Output:
	// made, with bob
	// <nil> <nil> <nil>
}
