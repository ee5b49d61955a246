package bench

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReportAsJSON holds the names that programs read.
func TestReportAsJSON(t *testing.T) {
	r := chat(t, short(newFake(t)))
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got["schema"] != 1.0 {
		t.Errorf("schema %v", got["schema"])
	}
	for _, name := range []string{"command", "commit", "machine", "foreign_cpu_pct", "params", "metrics", "baselines"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	metrics := got["metrics"].(map[string]any)
	for _, name := range []string{"msgs_per_s", "deliveries_per_s", "ack_ms_p50", "ack_ms_p99", "ack_ms_p999", "deliver_ms_p50", "deliver_ms_p99", "deliver_ms_max", "violations"} {
		if _, ok := metrics[name].(float64); !ok {
			t.Errorf("metric %s is %v", name, metrics[name])
		}
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"send→ack", "send→deliver", "0 violations", "in flight 4"} {
		if !strings.Contains(text.String(), word) {
			t.Errorf("no %q in:\n%s", word, text.String())
		}
	}
}

func TestFlawsAreCountedAndTheFirstKept(t *testing.T) {
	var f flaws
	f.add(nil)
	for range 3 * flawsKept {
		f.add(newFlaw(lost, "one"))
	}
	f.add(newFlaw(doubled, "two"))
	if f.count != 3*flawsKept+1 || len(f.first) != flawsKept || f.kinds[doubled] != 1 {
		t.Errorf("%d, %d kept, %v", f.count, len(f.first), f.kinds)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var b tail
	for range 1000 {
		_, _ = b.Write([]byte("0123456789"))
	}
	_, _ = b.Write([]byte("the end\n"))
	if s := b.String(); !strings.HasSuffix(s, "the end") || len(s) > tailMax {
		t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-10:])
	}
}

// TestServerThatDoesNotStart names why.
func TestServerThatDoesNotStart(t *testing.T) {
	_, err := StartServer(t.Context(), ServerOptions{Executable: "/bin/sh", Data: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "serve") {
		t.Errorf("the shell served: %v", err)
	}
	if _, err := StartServer(t.Context(), ServerOptions{Executable: t.TempDir() + "/nothing"}); err == nil {
		t.Error("nothing was started")
	}
}

func TestUsageOfOurselves(t *testing.T) {
	before, err := readUsage(0)
	if err != nil {
		t.Fatal(err)
	}
	for x, end := 0, time.Now().Add(60*time.Millisecond); time.Now().Before(end); x++ {
		slices.Sort([]int{x, x + 1})
	}
	after, err := readUsage(0)
	if err != nil {
		t.Fatal(err)
	}
	if after.harness <= before.harness || !after.at.After(before.at) {
		t.Errorf("from %+v to %+v", before, after)
	}
}
