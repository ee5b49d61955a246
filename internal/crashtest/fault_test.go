package crashtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestFailedWrites has the Nth write, or the Nth sync, of a thread of the node
// fail with EIO, for N up to PARLEY_FAULTS, every PARLEY_FAULT_STEP-th. From the
// trace of its system calls: no acknowledgement is written before the write that
// covers it has returned, and so none leaves for anything from the failed one
// on. What was acknowledged is there when the node comes back.
func TestFailedWrites(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing; run: make tools")
	}
	bin := buildNode(t)
	last, step := setting(t, "PARLEY_FAULTS", 50), setting(t, "PARLEY_FAULT_STEP", 5)
	for _, way := range []struct{ mode, call string }{{"direct", "pwrite64"}, {"buffered", "fdatasync"}} {
		t.Run(way.call, func(t *testing.T) {
			failed, told := 0, 0
			for n := 1; n <= last; n += step {
				hit, acks, err := faultyRun(t.TempDir(), bin, way.mode, way.call, n)
				if err != nil {
					t.Fatalf("%s %d fails: %v", way.call, n, err)
				}
				failed += hit
				told += acks
			}
			t.Logf("%d calls failed; %d acknowledgements, each behind its write", failed, told)
			if failed == 0 || told == 0 {
				t.Fatal("nothing was tried")
			}
		})
	}
}

// faultyRun breaks one call, and then lets the node run on sound.
func faultyRun(dir, bin, mode, call string, n int) (failed, told int, err error) {
	data, trace := filepath.Join(dir, "data"), filepath.Join(dir, "trace")
	c := NewClients(4, 8, uint64(n))
	node := []string{data, "1048576", "4", mode}
	cmd := exec.Command("strace", append([]string{
		"-f", "-qq", "-s", "1000000", "-o", trace, "-e", "trace=pwrite64,fdatasync,write",
		"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", call, n), bin,
	}, node...)...)
	if err := c.Run(cmd, 300*time.Millisecond, true); err != nil {
		return 0, 0, err
	}
	if failed, told, err = checkTrace(trace, mode == "buffered"); err != nil {
		return failed, told, err
	}
	if _, err := os.Stat(filepath.Join(data, "catalogue")); err == nil {
		if _, err := c.Judge(data); err != nil {
			return failed, told, err
		}
	}
	if err := c.Run(exec.Command(bin, node...), 100*time.Millisecond, false); err != nil {
		return failed, told, fmt.Errorf("on a sound disk again: %w", err)
	}
	_, err = c.Judge(data)
	return failed, told, err
}

var (
	traced  = regexp.MustCompile(`^(\d+) +(.*)$`)
	sends   = regexp.MustCompile(`u(\d+)r(\d+)n(\d+):`)
	answers = regexp.MustCompile(`\ba (\d+) (\d+) (\d+) \d+\\n`)
	onFile  = regexp.MustCompile(`^(pwrite64|fdatasync)\((\d+)`)
	fails   = regexp.MustCompile(`= -1 EIO .*\(INJECTED\)`)
)

// checkTrace reads the system calls in the order in which they were made. With
// mode buffered a write is covered by the sync that returns after it.
func checkTrace(path string, buffered bool) (failed, told int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	w := watcher{written: map[string][]string{}, begun: map[string]string{}, durable: map[string]bool{}, buffered: buffered}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		m := traced.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if fails.MatchString(m[2]) {
			failed++
		}
		if err := w.call(m[1], m[2]); err != nil {
			return failed, w.told, err
		}
	}
	return failed, w.told, lines.Err()
}

// watcher follows each thread's calls.
type watcher struct {
	begun   map[string]string   // by thread: the call that has not returned
	written map[string][]string // by descriptor: what frames held that are not synced
	durable map[string]bool
	told    int

	buffered bool // a write is covered by the sync behind it
}

func (w *watcher) call(thread, text string) error {
	if strings.HasPrefix(text, "write(1,") {
		// It counts from its beginning.
		for _, a := range answers.FindAllStringSubmatch(text, -1) {
			w.told++
			if !w.durable[strings.Join(a[1:4], "/")] {
				return fmt.Errorf("user %s room %s number %s was acknowledged before its write returned", a[1], a[2], a[3])
			}
		}
	}
	if rest, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
		w.begun[thread] = rest
		return nil
	}
	if _, after, ok := strings.Cut(text, " resumed>"); ok && strings.HasPrefix(text, "<...") {
		text = w.begun[thread] + after
		delete(w.begun, thread)
	}
	w.returned(text)
	return nil
}

func (w *watcher) returned(text string) {
	m := onFile.FindStringSubmatch(text)
	if m == nil || strings.Contains(text, "= -1 ") || strings.HasSuffix(text, "= ?") {
		return
	}
	call, fd := m[1], m[2]
	if call == "pwrite64" {
		for _, s := range sends.FindAllStringSubmatch(text, -1) {
			w.written[fd] = append(w.written[fd], strings.Join(s[1:4], "/"))
		}
	}
	if call == "fdatasync" || !w.buffered {
		for _, s := range w.written[fd] {
			w.durable[s] = true
		}
		delete(w.written, fd)
	}
}
