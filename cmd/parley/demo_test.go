package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
	c := demoCommand()
	out, in := io.Pipe()
	c.SetOut(in)
	c.SetArgs([]string{"--data", dir, "--listen", "127.0.0.1:0"})
	ended := make(chan error, 1)
	go func() {
		err := c.ExecuteContext(context.Background())
		_ = in.Close()
		ended <- err
	}()
	printed := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "write to ") { // the last line
			if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"going on with " + dir + ": 8 people, 500 messages", "listening on http://127.0.0.1:", "log in as maya", "write to daniel"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q was not printed, but:\n%s", want, printed)
		}
	}
}
