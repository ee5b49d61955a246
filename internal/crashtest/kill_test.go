package crashtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parleychat/parley/verify"
	"github.com/parleychat/parley/wire"
)

// TestKill kills the server with SIGKILL under load, PARLEY_KILLS times, and
// judges the folder after each. Heads of 1 MiB make kills land everywhere: two
// of three come at any time, the third while a closed head waits for its flush.
func TestKill(t *testing.T) {
	k := &killer{seed: uint64(setting(t, "PARLEY_SEED", 1)), kills: setting(t, "PARLEY_KILLS", 20)}
	var err error
	if k.bin, err = ordinary(); err != nil {
		t.Fatal(err)
	}
	for k.done < k.kills {
		if err := k.folder(filepath.Join(t.TempDir(), "data")); err != nil {
			t.Fatalf("kill %d (PARLEY_SEED=%d): %v", k.done+1, k.seed, err)
		}
	}
	f := k.figures
	t.Logf("%d kills: %d acknowledged, %d repeats answered, %d refused; %d watermarks, %d pushes; 0 lost, 0 doubled, 0 out of order, every state as the folder has it",
		k.done, f.acknowledged, f.repeated, f.refused, f.marked, f.pushed)
	t.Logf("records at the kills: %d below the cut, %d in closed heads, %d in the open head; %d kills hit a closed head, %d messages were stored and not yet acknowledged",
		k.below, k.closed, k.open, k.hits, k.unanswered)
	if f.acknowledged == 0 || f.repeated == 0 || f.marked == 0 || f.pushed == 0 || k.below == 0 || k.open == 0 || k.closed == 0 && k.kills >= 6 {
		t.Fatal("the kills did not land everywhere")
	}
}

// killer kills servers.
type killer struct {
	bin         string
	seed        uint64
	kills, done int

	figures             figures
	below, closed, open uint64 // records
	hits                int    // kills that found a closed head
	unanswered          int    // messages that were there, and whose receipt had not come
}

// perFolder is how many kills a folder lives through.
const perFolder = 10

func (k *killer) folder(dir string) error {
	c, err := newCrowd(dir, 8, 32, k.seed+uint64(k.done), wire.Binary)
	if err != nil {
		return err
	}
	var judged *verify.Report
	for range min(perFolder, k.kills-k.done) {
		if judged, err = k.kill(c, judged); err != nil {
			return err
		}
	}
	k.figures.add(c.figures())
	k.unanswered += c.unanswered
	return os.RemoveAll(dir)
}

// kill starts a server, kills it, and judges what is left.
func (k *killer) kill(c *crowd, judged *verify.Report) (*verify.Report, error) {
	s, err := launch{bin: k.bin, dir: c.dir}.start()
	if err != nil {
		return nil, err
	}
	err = c.run(s, judged, func() error {
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended by itself, with status %d:\n%s", s.status, s.log)
		case <-time.After(time.Duration(200+c.rng.IntN(700)) * time.Millisecond):
		}
		if k.done%3 == 2 {
			return c.awaitClosedHead()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	before := uint64(0)
	if judged != nil {
		before = uint64(judged.Cut)
	}
	if judged, err = c.judge(); err != nil {
		return nil, err
	}
	k.below += uint64(judged.Cut) - before
	k.closed += judged.Replayed - judged.Newest
	k.open += judged.Newest
	if judged.Replayed > judged.Newest {
		k.hits++
	}
	k.done++
	return judged, nil
}

// awaitClosedHead waits until a closed head is being flushed: a segment appears
// that the catalogue does not name yet. The figure of waiting heads says it too,
// but is milliseconds old when it arrives.
func (c *crowd) awaitClosedHead() error {
	segments := filepath.Join(c.dir, "segments")
	before, err := os.ReadDir(segments)
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		now, err := os.ReadDir(segments)
		if err != nil || len(now) > len(before) {
			return err
		}
	}
	return errors.New("no head was flushed")
}
