package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// someCommands are sends of many streams, with gaps and repeats among them, and
// notes. They are stamped, so that they are the same for every store.
func someCommands(e *Engine, n int) []Command {
	rng := rand.New(rand.NewPCG(11, 1))
	next := make(map[outbox]parley.Number)
	var cmds []Command
	for i := range n {
		var c Command
		switch box := (outbox{room(rng.IntN(8)), born(uint32(1+i/60), uint32(rng.IntN(3)))}); {
		case rng.IntN(3) == 0:
			c = note(parley.PartitionID(rng.IntN(e.Partitions())), byte(rng.IntN(12)), rng.IntN(3) == 0)
		case rng.IntN(10) == 0: // a repeat, a gap, or another body
			c = PlainAppend(e, box.room, box.stream, parley.Number(rng.IntN(9)), bodyOf(box, 1, 300))
		default:
			next[box]++
			c = PlainAppend(e, box.room, box.stream, next[box], bodyOf(box, next[box], 300))
		}
		c.Time = int64(i+1) * 30 * time.Minute.Microseconds()
		cmds = append(cmds, c)
	}
	return cmds
}

// appendAll appends commands in small batches and waits for them.
func appendAll(t testing.TB, e *Engine, cmds []Command) {
	t.Helper()
	for len(cmds) > 0 {
		n := min(len(cmds), 10)
		switch _, err := e.AppendWait(t.Context(), cmds[:n]...); {
		case errors.Is(err, parley.Overloaded):
			time.Sleep(time.Millisecond)
		case err != nil:
			t.Fatal(err)
		default:
			cmds = cmds[n:]
		}
	}
}

// One history gives one state, whatever the options, whenever heads are flushed,
// and however often the store was opened on the way.
func TestOneState(t *testing.T) {
	var want [32]byte
	var list []Listed
	for i, opts := range []Options{
		{HeadSize: 4 << 20},
		{HeadSize: 64 << 10, HeadsMax: 2},
		{HeadSize: 64 << 10, HeadsMax: 6, HeadRowsMax: 1},
		{HeadSize: 128 << 10, HeadRowsMax: 7, SegmentsOpenMax: 1},
		{HeadSize: 256 << 10, RowsMax: 1, Buffered: true, SegmentsOpenMax: 2},
	} {
		for _, opens := range []int{1, 5} {
			name := fmt.Sprintf("options %d, opened %d times", i, opens)
			fs, dir := vfs.FS(vfs.NewMem()), testDir
			if opts.Buffered {
				fs, dir = vfs.Default, t.TempDir()
			}
			hash, users := stateOver(t, fs, dir, opts, opens)
			if i == 0 && opens == 1 {
				want, list = hash, users
			}
			if hash != want {
				t.Errorf("%s: another state", name)
			}
			if fmt.Sprint(users) != fmt.Sprint(list) {
				t.Errorf("%s: another list: %v, want %v", name, users, list)
			}
		}
	}
}

// stateOver appends the commands, and opens the store anew on the way.
func stateOver(t *testing.T, fs vfs.FS, dir string, opts Options, opens int) ([32]byte, []Listed) {
	t.Helper()
	const n = 600
	for i := range opens {
		o := opts
		if i%2 == 1 { // other options than the last time
			o = Options{HeadSize: 100 << 10, HeadRowsMax: 20}
		}
		e := open(t, fs, dir, &notes{}, o)
		cmds := someCommands(e, n)
		appendAll(t, e, cmds[i*n/opens:(i+1)*n/opens])
		hash, users := e.Hash(), listOf(e, 1)
		closeEngine(t, e)
		if i == opens-1 {
			return hash, users
		}
	}
	return [32]byte{}, nil
}

// The state is not the same after one command more, or a different one.
func TestHashTellsStatesApart(t *testing.T) {
	seen := make(map[[32]byte]int)
	for i, n := range []int{0, 1, 2, 3, 100} {
		e := open(t, vfs.NewMem(), testDir, &notes{}, Options{})
		appendAll(t, e, someCommands(e, n))
		if n == 100 { // in place of the first
			appendAll(t, e, []Command{note(0, 99, true)})
		}
		h := e.Hash()
		if other, ok := seen[h]; ok {
			t.Errorf("stores %d and %d have one hash", other, i)
		}
		seen[h] = i
		closeEngine(t, e)
	}
}
