package wal_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/wal"
)

func Example() {
	fs := vfs.NewMem()
	log, err := wal.Open(fs, "wal", wal.Options{FileSize: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	last, err := log.AppendWait(context.Background(),
		wal.Record{Body: []byte("hello")}, wal.Record{Body: []byte("world")})
	fmt.Println("durable up to", last, err)
	fmt.Println(log.Close())

	log, err = wal.Open(fs, "wal", wal.Options{FileSize: 1 << 20, Replay: func(g wal.Group) error {
		for lsn, record := range g.Records() {
			fmt.Println(lsn, string(record))
		}
		return nil
	}})
	fmt.Println(err, log.Close())
	// Output:
	// durable up to 2 <nil>
	// <nil>
	// 1 hello
	// 2 world
	// <nil> <nil>
}
