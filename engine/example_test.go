package engine_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

func Example() {
	ctx := context.Background()
	e, err := engine.Open(vfs.NewMem(), "data", engine.Plain{}, engine.Options{HeadSize: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	room, stream := parley.ConversationID{1}, parley.StreamID(7)
	for i, word := range []string{"hello", "world"} {
		results, err := e.AppendWait(ctx, engine.PlainAppend(e, room, stream, parley.Number(i+1), []byte(word)))
		fmt.Println(results[0].Seq, err)
	}
	again, _ := e.AppendWait(ctx, engine.PlainAppend(e, room, stream, 2, []byte("world")))
	fmt.Println("again:", again[0].Seq, again[0].Repeat)
	for m, err := range e.Read(ctx, e.Partition(0, room), room, parley.SeqRange{From: 1, To: 10}) {
		fmt.Println(m.Seq, string(engine.PlainBody(m)), err)
	}
	fmt.Println(e.Close())
	// Output:
	// 1 <nil>
	// 2 <nil>
	// again: 2 true
	// 1 hello <nil>
	// 2 world <nil>
	// <nil>
}
