package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when a test has left a goroutine of ours behind.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they mostly wait
	code := m.Run()
	if left := leftGoroutines(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines gives those that are ending two seconds to do so.
func leftGoroutines() string {
	var left string
	for range 200 {
		if left = ourGoroutines(); left == "" {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}

func ourGoroutines() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var ours []string
	for i, s := range strings.Split(string(stacks), "\n\n") {
		if i > 0 && strings.Contains(s, "parleychat/parley") {
			ours = append(ours, s)
		}
	}
	return strings.Join(ours, "\n\n")
}
