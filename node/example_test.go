package node_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/parleychat/parley/node"
)

func Example() {
	dir, err := os.MkdirTemp("", "parley")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	n, err := node.Open(node.Config{
		Data: dir, Listen: "127.0.0.1:0", Dev: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := http.Get(n.URL() + "/readyz")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.Copy(os.Stdout, r.Body)
	_ = r.Body.Close()

	ctx, stop := context.WithCancel(context.Background())
	stop() // as a signal would
	fmt.Println(n.Run(ctx))
	// Output:
	// ok
	// <nil>
}
