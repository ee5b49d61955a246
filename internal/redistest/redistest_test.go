package redistest

import (
	"strings"
	"testing"

	"github.com/parleychat/parley/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestCluster: three masters serve, and one that was killed comes back empty.
func TestCluster(t *testing.T) {
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, key := range []string{"a", "b", "c", "d"} {
		if out, err := c.Ask("SET", key, "1"); err != nil || strings.TrimSpace(out) != "OK" {
			t.Fatalf("SET %s: %q, %v", key, out, err)
		}
	}
	for i := range Masters {
		if err := c.Kill(i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range Masters {
		if err := c.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitReady(); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Ask("EXISTS", "a"); err != nil || strings.TrimSpace(out) != "0" {
		t.Errorf("EXISTS a: %q, %v", out, err)
	}
	if err := c.Pause(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(0); err != nil {
		t.Fatal(err)
	}
}

// TestMissing: without redis-server there is an error that says what to do.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Start(); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("error = %v", err)
	}
}
