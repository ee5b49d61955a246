package bench

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// buildServer builds the server.
func buildServer(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parley")
	build := exec.Command("go", "build", "-o", file, "github.com/parleychat/parley/cmd/parley")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// TestRealServer runs both loops against the server itself, in a process of its
// own, one after the other on the same folder.
func TestRealServer(t *testing.T) {
	t.Parallel()
	executable, data := buildServer(t), t.TempDir()
	for _, load := range []struct {
		name     string
		inFlight int
		rate     float64
		receipts bool
		encoding string
	}{
		{"closed", 8, 0, true, "parley.v1.proto"},
		{"open", 0, 300, true, "parley.v1.proto"},
		{"json", 2, 0, true, "parley.v1.json"},
		{"no receipts", 4, 0, false, "parley.v1.proto"},
	} {
		t.Run(load.name, func(t *testing.T) {
			server, err := StartServer(t.Context(), ServerOptions{Executable: executable, Data: data})
			if err != nil {
				t.Fatal(err)
			}
			report, err := Chat(t.Context(), ChatOptions{
				Server: server, Users: 20, Conversations: 100, InFlight: load.inFlight, Rate: load.rate,
				Receipts: load.receipts, Subprotocol: load.encoding, Duration: time.Second, Warmup: 300 * time.Millisecond,
			})
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			wantNoViolation(t, report)
			for _, name := range []string{"cpu_us_per_msg", "rss_mb", "flushes"} {
				if _, ok := report.Metrics[name]; !ok {
					t.Errorf("no %s: %v", name, report.Metrics)
				}
			}
		})
	}
}
