package wal

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestMain fails when a test has left a goroutine of a log behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := loopsRunning(); n > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines of logs left behind\n", n)
		code = 1
	}
	os.Exit(code)
}

func loopsRunning() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("wal.(*Log).commitLoop")) + bytes.Count(stacks, []byte("wal.(*Log).prepareLoop"))
}

const testDir = "wal"

// small fills in what most tests have in common.
func small(opts Options) Options {
	opts.FileSize = fileSizeMin
	opts.Logger = slog.New(slog.DiscardHandler)
	return opts
}

// open opens a log of small files that the test's end closes.
func open(t testing.TB, fs vfs.FS, opts Options) *Log {
	t.Helper()
	l, err := Open(fs, testDir, small(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// body is the record of an LSN in tests that need no other: of a length that
// varies, and in the wrong place it shows.
func body(lsn LSN) string {
	return fmt.Sprintf("record %d%s", lsn, strings.Repeat(".", int(lsn*37%300)))
}

// bodies are those of the records from one LSN to another.
func bodies(from, to LSN) []string {
	var b []string
	for lsn := from; lsn <= to; lsn++ {
		b = append(b, body(lsn))
	}
	return b
}

func batch(bodies ...string) []Record {
	records := make([]Record, len(bodies))
	for i, b := range bodies {
		half := len(b) / 2
		records[i] = Record{Head: []byte(b[:half]), Body: []byte(b[half:])}
	}
	return records
}

// write appends the bodies as one batch, which alone in its log becomes one
// frame, and waits for it.
func write(t testing.TB, l *Log, bodies ...string) (last LSN) {
	t.Helper()
	last, err := l.AppendWait(t.Context(), batch(bodies...)...)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// awaitFile waits until the next file is prepared.
func awaitFile(t testing.TB, l *Log) {
	t.Helper()
	eventually(t, "a file is prepared", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.next != nil
	})
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 5000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("waited in vain: %s", what)
}

func rotate(t testing.TB, l *Log) {
	t.Helper()
	awaitFile(t, l)
	if !l.Rotate() {
		t.Fatal("the log did not rotate")
	}
	awaitFile(t, l)
}

// collected is what a log gave back. It takes groups in order only.
type collected struct {
	first   LSN
	records []string
	groups  []place
}

// place is a Group without its buffer.
type place struct {
	first  LSN
	count  int
	file   uint64
	offset int
}

func (c *collected) group(g Group) error {
	for lsn, record := range g.Records() {
		if c.first == 0 {
			c.first = lsn
		}
		if due := c.first + LSN(len(c.records)); lsn != due {
			return fmt.Errorf("record %d where %d was due", lsn, due)
		}
		c.records = append(c.records, string(record))
	}
	c.groups = append(c.groups, place{g.First, g.Count, g.File, g.Offset})
	return nil
}

// differ compares what was collected with the records due from an LSN on.
func (c *collected) differ(from LSN, due []string) error {
	if len(due) > 0 && len(c.records) > 0 && c.first != from {
		return fmt.Errorf("the first is record %d, want %d", c.first, from)
	}
	for i := range min(len(due), len(c.records)) {
		if c.records[i] != due[i] {
			return fmt.Errorf("record %d is %.40q, want %.40q", from+LSN(i), c.records[i], due[i])
		}
	}
	if len(c.records) != len(due) {
		return fmt.Errorf("%d records from %d on, want %d", len(c.records), from, len(due))
	}
	return nil
}

// expect scans a folder and holds it to the records due from an LSN on.
func expect(t testing.TB, fs vfs.FS, from LSN, due []string) {
	t.Helper()
	var got collected
	if _, _, err := Scan(fs, testDir, from, got.group); err != nil {
		t.Fatal(err)
	}
	if err := got.differ(from, due); err != nil {
		t.Fatal(err)
	}
}

// folder is the bytes of every log file, by name.
type folder map[string][]byte

func readFolder(t testing.TB, fs vfs.FS) folder {
	t.Helper()
	numbers, err := List(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	f := make(folder)
	for _, n := range numbers {
		b, err := readFile(fs, fs.PathJoin(testDir, fileName(n)))
		if err != nil {
			t.Fatal(err)
		}
		f[fileName(n)] = bytes.Clone(b)
		freeBuffer(b)
	}
	return f
}

func (f folder) clone() folder {
	c := make(folder)
	for name, b := range f {
		c[name] = bytes.Clone(b)
	}
	return c
}

func (f folder) names() []string { return slices.Sorted(maps.Keys(f)) }

func (f folder) equal(g folder) bool { return maps.EqualFunc(f, g, bytes.Equal) }

// disk is a new one that holds the folder and nothing unsynced.
func (f folder) disk(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range f {
		h, err := fs.Create(fs.PathJoin(testDir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Write(bytes.Clone(b)); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
}

// hooked is a file system that asks before each operation whether it fails.
func hooked(fs vfs.FS, ask func(op errorfs.Op) error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(ask))
}

// changesDisk reports whether an operation can leave a trace.
func changesDisk(op errorfs.Op) bool {
	return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpLock
}

// writesFrame reports whether an operation writes a frame, as opposed to a
// header, in a log of small files.
func writesFrame(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileWriteAt && op.Offset >= blockSize && op.Offset < fileSizeMin-blockSize
}

// gate holds the frame writes of a log back until it is opened.
type gate struct {
	fs      vfs.FS
	waiting chan struct{} // receives one value when the first write has come
	open    chan struct{}
}

func newGate(fs vfs.FS) *gate {
	g := &gate{waiting: make(chan struct{}, 1), open: make(chan struct{})}
	g.fs = hooked(fs, func(op errorfs.Op) error {
		if writesFrame(op) {
			select {
			case g.waiting <- struct{}{}:
			default:
			}
			<-g.open
		}
		return nil
	})
	return g
}

// setting reads a number from the environment.
func setting(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}
