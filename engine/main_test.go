package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/leak"
)

// TestMain fails when a test has left a goroutine of ours, or of the catalogue,
// behind.
func TestMain(m *testing.M) { leak.Main(m) }

const testDir = "data"

// testOptions fills in what most tests have in common.
func testOptions(opts Options) Options {
	if opts.Partitions == 0 {
		opts.Partitions = 3
	}
	if opts.HeadSize == 0 {
		opts.HeadSize = 64 << 10
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// open opens a store whose test ends it by close.
func open(t testing.TB, fs vfs.FS, dir string, m Machine, opts Options) *Engine {
	t.Helper()
	e, err := Open(fs, dir, m, testOptions(opts))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// hooked is a file system that asks before each operation whether it fails.
func hooked(fs vfs.FS, ask func(op errorfs.Op) error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(ask))
}

// changesDisk reports whether an operation can leave a trace.
func changesDisk(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRemove, errorfs.OpRename, errorfs.OpFileWrite, errorfs.OpFileWriteAt,
		errorfs.OpFileSync, errorfs.OpFileSyncData:
		return true
	}
	return false
}

// inFolder reports whether an operation is on a folder of the store or on a
// file in it.
func inFolder(op errorfs.Op, folder string) bool {
	return strings.Contains("/"+op.Path+"/", "/"+folder+"/")
}

// room is the id of a conversation of tests.
func room(n int) parley.ConversationID { return parley.ConversationID{15: byte(n), 14: byte(n >> 8)} }

// born is a stream of a birth.
func born(second uint32, n uint32) parley.StreamID {
	return parley.StreamID(uint64(second)<<32 | uint64(n))
}

// send appends one message, again while the engine is overloaded, and returns
// what was decided.
func send(t testing.TB, e *Engine, c parley.ConversationID, s parley.StreamID, n parley.Number, body string) Result {
	t.Helper()
	for {
		r, err := e.AppendWait(t.Context(), PlainAppend(e, c, s, n, []byte(body)))
		switch {
		case errors.Is(err, parley.Overloaded):
			time.Sleep(time.Millisecond)
		case err != nil:
			t.Fatal(err)
		default:
			return r[0]
		}
	}
}

// readAll reads a conversation from a sequence on; bodies are copied.
func readAll(t testing.TB, e *Engine, c parley.ConversationID, from parley.Seq) ([]Message, error) {
	t.Helper()
	var all []Message
	for m, err := range e.Read(t.Context(), e.Partition(parley.DefaultTenant, c), c, parley.SeqRange{From: from, To: 1 << 60}) {
		if err != nil {
			return all, err
		}
		m.Body = bytes.Clone(m.Body)
		all = append(all, m)
	}
	return all, nil
}

// bodies reads a conversation as text.
func bodies(t testing.TB, e *Engine, c parley.ConversationID) string {
	t.Helper()
	all, err := readAll(t, e, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, m := range all {
		if m.Seq != parley.Seq(i+1) {
			t.Fatalf("sequence %d at place %d", m.Seq, i+1)
		}
		fmt.Fprintf(&b, "%s ", PlainBody(m))
	}
	return strings.TrimSpace(b.String())
}
