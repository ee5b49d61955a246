package crashtest

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// watcher reads a trace of system calls, in the order in which they were made,
// and holds them to one rule: neither a receipt nor the message itself is
// written to anybody before the call that makes the message durable has
// returned. That is the write of its record if the file was opened with O_DSYNC,
// and else the sync that follows.
//
// A message, its record and its receipt bear the same id: see box.
type watcher struct {
	begun    map[string]string   // by thread: the call that has not returned
	synced   map[string]bool     // by descriptor: it was opened with O_DSYNC
	written  map[string][]string // by descriptor: ids that are not synced
	durable  map[string]bool     // ids
	receipts int
	pushes   int
	failed   int // calls that were made to fail
	late     int // receipts that left behind the first of them, for earlier writes
}

func newWatcher() *watcher {
	return &watcher{begun: map[string]string{}, synced: map[string]bool{}, written: map[string][]string{}, durable: map[string]bool{}}
}

// tracedCalls are all with which bytes leave the process, and openat.
const tracedCalls = "openat,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,fdatasync"

var (
	leaving  = regexp.MustCompile(`^(write|writev|sendto|sendmsg)\(`)
	opened   = regexp.MustCompile(`^openat\(.*\) += (\d+)$`)
	onFile   = regexp.MustCompile(`^(pwrite64|pwritev|pwritev2|fsync|fdatasync)\((\d+)`)
	bodies   = regexp.MustCompile(`q(\d+):x`)
	receipts = regexp.MustCompile(`\\"replyTo\\":(\d+),\\"sent\\"`)
	refused  = regexp.MustCompile(`\) += (-1 E\w+ \(.*\)|\?)$`)
	injected = regexp.MustCompile(`\) += -1 EIO \(.*\) \(INJECTED\)$`)
)

// read follows a whole trace.
func (w *watcher) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 256<<20)
	for lines.Scan() {
		thread, text, _ := strings.Cut(lines.Text(), " ")
		if err := w.line(thread, strings.TrimLeft(text, " ")); err != nil {
			return err
		}
	}
	return lines.Err()
}

// line takes one line of a thread. What leaves counts from the beginning of its
// call, what is durable from the end.
func (w *watcher) line(thread, text string) error {
	if injected.MatchString(text) {
		w.failed++
	}
	if leaving.MatchString(text) {
		if err := w.leaves(text); err != nil {
			return err
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

func (w *watcher) leaves(text string) error {
	for _, m := range receipts.FindAllStringSubmatch(text, -1) {
		w.receipts++
		if w.failed > 0 {
			w.late++
		}
		if !w.durable[m[1]] {
			return fmt.Errorf("message %s was acknowledged before its write returned", m[1])
		}
	}
	for _, m := range bodies.FindAllStringSubmatch(text, -1) {
		w.pushes++
		if !w.durable[m[1]] {
			return fmt.Errorf("message %s left before its write returned", m[1])
		}
	}
	return nil
}

func (w *watcher) returned(text string) {
	if m := opened.FindStringSubmatch(text); m != nil {
		w.synced[m[1]] = strings.Contains(text, "O_DSYNC") || strings.Contains(text, "O_SYNC")
		delete(w.written, m[1])
		return
	}
	m := onFile.FindStringSubmatch(text)
	if m == nil || refused.MatchString(text) {
		return
	}
	call, fd := m[1], m[2]
	if strings.HasPrefix(call, "pwrite") {
		for _, s := range bodies.FindAllStringSubmatch(text, -1) {
			w.written[fd] = append(w.written[fd], s[1])
		}
		if !w.synced[fd] {
			return
		}
	}
	for _, id := range w.written[fd] {
		w.durable[id] = true
	}
	delete(w.written, fd)
}

// A trace in which the second message is acknowledged while its write is still
// on its way.
func Example() {
	w := newWatcher()
	err := w.read(strings.NewReader(`
7 openat(AT_FDCWD, "wal/000000000001.wal", O_RDWR|O_DSYNC|O_DIRECT|O_CLOEXEC) = 5
7 pwrite64(5, "PWF1 q1:xxxx", 512, 512) = 512
8 write(9, "{\"replyTo\":1,\"sent\":{\"seq\":\"1\"}}\n", 33) = 33
7 pwrite64(5, "PWF1 q2:xxxx", 512, 1024 <unfinished ...>
8 write(9, "{\"replyTo\":2,\"sent\":{\"seq\":\"2\"}}\n", 33) = 33
7 <... pwrite64 resumed>) = 512
`))
	fmt.Println(err)
	// Output: message 2 was acknowledged before its write returned
}

func TestWatcher(t *testing.T) {
	const (
		direct   = "1 openat(AT_FDCWD, \"a.wal\", O_RDWR|O_DSYNC|O_DIRECT) = 5\n"
		buffered = "1 openat(AT_FDCWD, \"a.wal\", O_RDWR|O_CLOEXEC) = 5\n"
		write    = "1 pwrite64(5, \"q1:xx\", 512, 512) = 512\n"
		failing  = "1 pwrite64(5, \"q1:xx\", 512, 512) = -1 EIO (Input/output error) (INJECTED)\n"
		begun    = "1 pwrite64(5, \"q1:xx\", 512, 512 <unfinished ...>\n"
		resumed  = "1 <... pwrite64 resumed>) = 512\n"
		sync     = "1 fdatasync(5) = 0\n"
		noSync   = "1 fdatasync(5) = -1 EIO (Input/output error) (INJECTED)\n"
		receipt  = "2 write(9, \"..{\\\"replyTo\\\":1,\\\"sent\\\":{}}\\n\", 20) = 20\n"
		push     = "2 write(9, \"{\\\"text\\\":\\\"q1:xx\\\"}\", 20 <unfinished ...>\n"
	)
	for _, x := range []struct {
		name  string
		trace string
		good  bool
	}{
		{"direct", direct + write + receipt + push, true},
		{"unfinished, then resumed", direct + begun + resumed + receipt, true},
		{"opened while another calls", "1 openat(AT_FDCWD, \"a.wal\", O_DSYNC <unfinished ...>\n" + "1 <... openat resumed>)          = 5\n" + write + receipt, true},
		{"buffered", buffered + write + sync + receipt + push, true},
		{"not synced", buffered + write + receipt, false},
		{"synced before", buffered + sync + write + receipt, false},
		{"the sync failed", buffered + write + noSync + receipt, false},
		{"a push, not synced", buffered + write + push, false},
		{"while it is written", direct + begun + receipt + resumed, false},
		{"it failed", direct + failing + receipt, false},
		{"never written", direct + receipt, false},
		{"another file was synced", buffered + "1 openat(AT_FDCWD, \"b\", O_RDWR) = 6\n" + write + "1 fdatasync(6) = 0\n" + receipt, false},
	} {
		if err := newWatcher().read(strings.NewReader(x.trace)); (err == nil) != x.good {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}
