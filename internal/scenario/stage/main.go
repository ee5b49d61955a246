// Stage serves stages to a runner of scenarios: it prints the address of its
// control on a line, and ends when its standard input does.
//
//	stage bin/parley
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/parleychat/parley/internal/scenario"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: stage BINARY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
}

func run(bin string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control := scenario.NewControl(bin)
	server := &http.Server{Handler: control}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Printf("http://%s\n", listener.Addr())
	_, readErr := io.Copy(io.Discard, os.Stdin)
	err = errors.Join(readErr, server.Shutdown(context.Background()), control.Close()) // a stage that is being made is ended, too
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
