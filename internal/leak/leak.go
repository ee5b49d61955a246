// Package leak finds goroutines that tests have left behind.
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// Whoever starts a goroutine stops it and waits: a test binary that ends with one
// of ours, or of a library that runs some for us, fails and shows its stack.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// watched are the modules whose goroutines must end.
var watched = []string{"parleychat/parley", "cockroachdb/pebble", "lesismal/nbio", "redis/rueidis"}

// patience is how long those that are ending may take.
const patience = 5 * time.Second

// Main runs the tests and exits: with their status, or with 1 if they passed and
// left goroutines behind.
func Main(m *testing.M) { os.Exit(Check(m.Run())) }

// Check returns the exit status for the tests' own one. Main is for those who
// have nothing to do in between.
func Check(code int) int {
	left := Left()
	for deadline := time.Now().Add(patience); left != "" && time.Now().Before(deadline); left = Left() {
		time.Sleep(10 * time.Millisecond)
	}
	if left == "" || code != 0 {
		return code
	}
	fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
	return 1
}

// Left is the stacks of the watched goroutines but the caller's, empty if there
// are none.
func Left() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for i, s := range strings.Split(string(stacks), "\n\n") {
		if i > 0 && isWatched(s) {
			left = append(left, s)
		}
	}
	return strings.Join(left, "\n\n")
}

func isWatched(stack string) bool {
	for _, w := range watched {
		if strings.Contains(stack, w) {
			return true
		}
	}
	return false
}
