package crashtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}

// buildNode builds the node without the race detector: it slows the node, and
// its memory is watched in the other suites.
func buildNode(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "node")
	args := []string{"build", "-o", bin}
	if tags := os.Getenv("PARLEY_TAGS"); tags != "" {
		args = append(args, "-tags", tags)
	}
	if out, err := exec.Command("go", append(args, "./node")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// TestKill kills the node with SIGKILL under load, PARLEY_KILLS times, and
// judges the folder after each. Heads of 1 MiB make kills land everywhere: two
// of three come at any time, the third while a closed head waits for its flush.
func TestKill(t *testing.T) {
	kills := setting(t, "PARLEY_KILLS", 20)
	seed := uint64(setting(t, "PARLEY_SEED", 1))
	bin := buildNode(t)
	var below, closed, open uint64
	var acknowledged, repeated, refused int
	const perFolder = 20
	for done := 0; done < kills; {
		dir := filepath.Join(t.TempDir(), "data")
		c := NewClients(9, 32, seed+uint64(done))
		before := uint64(0)
		for range min(perFolder, kills-done) {
			busy := time.Duration(200+c.rng.IntN(700)) * time.Millisecond
			args := []string{dir, "1048576", "9", "direct"}
			if done%3 == 2 {
				args, busy = append(args, busy.String()), startMax
			}
			if err := c.Run(exec.Command(bin, args...), busy, false); err != nil {
				t.Fatalf("kill %d (PARLEY_SEED=%d): %v", done, seed, err)
			}
			r, err := c.Judge(dir)
			if err != nil {
				t.Fatalf("after kill %d (PARLEY_SEED=%d): %v", done, seed, err)
			}
			below += uint64(r.Cut) - before
			before = uint64(r.Cut)
			closed += r.Replayed - r.Newest
			open += r.Newest
			done++
		}
		acknowledged, repeated, refused = acknowledged+c.Acknowledged, repeated+c.Repeated, refused+c.Refused
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills: %d acknowledged, %d repeats answered, %d refused; 0 lost, 0 doubled, 0 out of order", kills, acknowledged, repeated, refused)
	t.Logf("records at the kills: %d below the cut, %d in closed heads, %d in the open head", below, closed, open)
	if acknowledged == 0 || repeated == 0 || below == 0 || open == 0 || closed == 0 && kills >= 3 {
		t.Fatal("the kills did not land everywhere")
	}
}
