package verify_test

import (
	"testing"

	"github.com/parleychat/parley/internal/leak"
)

// TestMain fails when a test has left a goroutine of ours, or of the catalogue,
// behind.
func TestMain(m *testing.M) { leak.Main(m) }
