package bench

import (
	"flag"
	"testing"

	"github.com/parleychat/parley/internal/leak"
)

// TestMain fails when a test has left a goroutine of ours behind.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they mostly wait
	leak.Main(m)
}
