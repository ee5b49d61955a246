package segment_test

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/tiering/segment"
)

func Example() {
	fs := vfs.NewMem()
	room := parley.ConversationID{1}
	w, err := segment.Create(fs, segment.FileName(7), 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = errors.Join(
		w.Run(segment.Run{Partition: 3, Conversation: room, Previous: 4, First: 101}),
		w.Add(segment.Message{Index: 5, Ordinal: 90, Record: []byte("hello")}),
		w.Add(segment.Message{Index: 8, Ordinal: 91, Record: []byte("world")}),
	)
	info, finished := w.Finish()
	fmt.Println(info.Messages, info.Runs, errors.Join(err, finished))

	r, err := segment.Open(fs, segment.FileName(7))
	if err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range r.Messages(3, room, parley.SeqRange{From: 102, To: 200}) {
		fmt.Println(m.Seq, m.Ordinal, string(m.Record), err)
	}
	run, ok, err := r.Run(3, room)
	fmt.Println(run.First, run.Previous, ok, err)
	fmt.Println(r.Close())
	// Output:
	// 2 1 <nil>
	// 102 91 world <nil>
	// 101 4 true <nil>
	// <nil>
}
