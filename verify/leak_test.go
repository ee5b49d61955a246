package verify_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when a test has left a goroutine of ours, or of the catalogue,
// behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftGoroutines(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines gives those that are ending two seconds to do so.
func leftGoroutines() (left string) {
	for range 200 {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = ""
		for i, s := range strings.Split(string(stacks), "\n\n") {
			if i > 0 && (strings.Contains(s, "parleychat/parley") || strings.Contains(s, "cockroachdb/pebble")) {
				left += s + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}
