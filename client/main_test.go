package client

import (
	"testing"

	"github.com/parleychat/parley/internal/leak"
)

// TestMain fails when a test has left a goroutine of ours behind.
func TestMain(m *testing.M) { leak.Main(m) }
