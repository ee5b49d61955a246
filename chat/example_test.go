package chat_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
)

func Example() {
	ctx := context.Background()
	s, err := chat.Open(vfs.NewMem(), "data", chat.Options{Engine: engine.Options{HeadSize: 1 << 20, Partitions: 4}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ann, _ := s.Login(ctx, parley.DefaultTenant, "ann", chat.Device{})
	bob, _ := s.Login(ctx, parley.DefaultTenant, "bob", chat.Device{})
	room, _ := s.CreateDirect(ctx, ann.Identity, bob.User)
	receipt, err := s.Send(ctx, ann.Identity, parley.Draft{
		Conversation: room, Stream: ann.Stream, Number: 1, Kind: parley.KindText, Body: []byte("hello"),
	})
	fmt.Println("sent as", receipt.Seq, err)

	state, _ := s.State(bob.Identity, room)
	fmt.Println("unread:", state.Unread())
	page, _ := s.History(ctx, bob.Identity, room, parley.SeqRange{From: 1, To: 10}, false)
	fmt.Println(string(page.Items[0].Message.Body))
	fmt.Println(s.Acknowledge(ctx, bob.Identity, chat.Acknowledgement{Conversation: room, Watermarks: parley.Watermarks{Read: 1}}))
	state, _ = s.State(bob.Identity, room)
	fmt.Println("unread:", state.Unread())
	fmt.Println(s.Close())
	// Output:
	// sent as 1 <nil>
	// unread: 1
	// hello
	// <nil>
	// unread: 0
	// <nil>
}
