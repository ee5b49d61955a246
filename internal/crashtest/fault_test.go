package crashtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/parleychat/parley/verify"
	"github.com/parleychat/parley/wire"
)

// TestFailedWrites has the Nth write, or the Nth sync, of a thread of the server
// fail with EIO, for N up to PARLEY_FAULTS, every PARLEY_FAULT_STEP-th. From the
// trace of its system calls: nothing leaves before the write that covers it has
// returned, and so nothing from the failed one on. The server exits with 1, and
// when it comes back on a sound disk, what it had acknowledged is there.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing; run: make tools")
	}
	bin, err := ordinary()
	if err != nil {
		t.Fatal(err)
	}
	last, step := setting(t, "PARLEY_FAULTS", 50), setting(t, "PARLEY_FAULT_STEP", 5)
	for _, f := range []fault{{bin: bin, call: "pwrite64"}, {bin: bin, call: "fdatasync", flags: []string{"--buffered-log"}}} {
		t.Run(f.call, func(t *testing.T) {
			t.Parallel()
			for f.nth = step; f.nth <= last; f.nth += step {
				if err := f.run(t.TempDir()); err != nil {
					t.Fatalf("%s %d fails: %v", f.call, f.nth, err)
				}
				f.runs++
			}
			t.Logf("%d servers, each ended with 1 by a failed %s; %d receipts and %d messages left, each behind its write; %d of the receipts after a failure, for earlier writes",
				f.runs, f.call, f.receipts, f.pushes, f.late)
			if f.runs == 0 || f.receipts == 0 || f.pushes == 0 {
				t.Fatal("nothing was tried")
			}
		})
	}
}

// fault is one kind of call that fails.
type fault struct {
	bin   string
	call  string
	flags []string
	nth   int

	runs, receipts, pushes, late int
}

// run has one server fail, and then another go on with its folder.
func (f *fault) run(dir string) error {
	trace := filepath.Join(dir, "trace")
	c, err := newCrowd(filepath.Join(dir, "data"), 4, 8, uint64(f.nth), wire.JSON)
	if err != nil {
		return err
	}
	c.quiet, c.mayClose = true, true
	l := launch{bin: f.bin, dir: c.dir, flags: f.flags, under: []string{
		"strace", "-f", "-qq", "-s", "1000000", "-o", trace, "-e", "trace=" + tracedCalls,
		"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", f.call, f.nth),
	}}
	s, err := l.start()
	switch {
	case err == nil:
		err = c.run(s, nil, func() error { return s.exits(1) })
	case errors.Is(err, errEnded) && s.status == 1:
		err = nil // the call was one of the start
	}
	if err == nil {
		err = f.watch(trace)
	}
	if err != nil {
		return err
	}
	if err := f.again(c); err != nil {
		return fmt.Errorf("on a sound disk again: %w", err)
	}
	return nil
}

// watch reads the trace.
func (f *fault) watch(trace string) error {
	t, err := os.Open(trace)
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	w := newWatcher()
	if err := w.read(t); err != nil {
		return err
	}
	if w.failed == 0 {
		return errors.New("the server ended, and no call had failed")
	}
	f.receipts, f.pushes, f.late = f.receipts+w.receipts, f.pushes+w.pushes, f.late+w.late
	return nil
}

// again judges the folder, and has a sound server go on with it.
func (f *fault) again(c *crowd) error {
	var judged *verify.Report
	if _, err := os.Stat(filepath.Join(c.dir, "catalogue")); err == nil {
		if judged, err = c.judge(); err != nil {
			return err
		}
	}
	c.mayClose = false
	s, err := launch{bin: f.bin, dir: c.dir, flags: f.flags}.start()
	if err != nil {
		return err
	}
	if err := c.run(s, judged, func() error { time.Sleep(100 * time.Millisecond); return nil }); err != nil {
		return err
	}
	_, err = c.judge()
	return err
}
