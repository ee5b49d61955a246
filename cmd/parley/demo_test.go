package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoUsage has calls that are wrong in themselves fill nothing.
func TestDemoUsage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	for _, args := range [][]string{
		{"--users", "2"}, {"--users", "0"}, {"--messages", "-1"}, {"--messages", "0"}, {"--years", "0"}, {"--years", "NaN"}, {"--seed", "one"}, {"more"},
	} {
		if code := run(append([]string{"demo", "--data", dir}, args...)); code != 2 {
			t.Errorf("%q ended with %d", args, code)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was filled")
	}
}

// TestDemo fills a world, goes on with it, serves it, and stops by a signal.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	fill := []string{"demo", "--data", dir, "--users", "8", "--messages", "500", "--years", "1", "--fill-only"}
	if code := run(fill); code != 0 {
		t.Fatalf("filling ended with %d", code)
	}
	if code := run([]string{"demo", "--data", filepath.Dir(dir), "--fill-only"}); code != 1 {
		t.Errorf("a folder with something else: %d", code)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()

	c := demoCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetArgs([]string{"--data", dir, "--listen", address})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(context.Background()) }()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			t.Fatal("ended at once: ", err)
		default:
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"going on with " + dir + ": 8 people, 500 messages", "listening on http://" + address, "log in as maya", "write to daniel"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed, but:\n%s", want, out.String())
		}
	}
}
