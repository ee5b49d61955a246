package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
)

// TestTruncatingLogGivesTheSameState sends the same commands through the wal and
// through a log that loses its tail at random: one state.
func TestTruncatingLogGivesTheSameState(t *testing.T) {
	var cuts atomic.Int64
	seeds := eachSeed(t, func(seed uint64) {
		var log *Truncating
		plain := stateOf(t, seed, nil, func() {})
		truncated := stateOf(t, seed, OpenTruncating(seed, func(l *Truncating) { log = l }), func() { log.Resume() })
		cuts.Add(int64(log.Cuts))
		if plain != truncated {
			t.Errorf("seed %d: the two logs give two states", seed)
		}
	})
	if cuts.Load() == 0 {
		t.Error("no tail was ever cut")
	}
	t.Logf("%d seeds, %d tails cut", seeds, cuts.Load())
}

// TestTruncatingLogUnderChat has the clients of a seed work on the chat over a
// log that loses its tail at random. The commands that it committed then go
// through the wal, in other batches, into a node that is opened several times
// on the way, each time with other options: one state, whichever log ordered
// them, whatever the options, and whenever heads were flushed and replayed.
func TestTruncatingLogUnderChat(t *testing.T) {
	var cuts, commands, opens atomic.Int64
	seeds := eachSeed(t, func(seed uint64) {
		log, want, err := workOverTruncating(seed)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		cuts.Add(int64(log.Cuts))
		commands.Add(int64(len(log.Committed)))
		rng := rand.New(rand.NewPCG(seed, 4))
		n := 1 + rng.IntN(3)
		got, err := throughWAL(rng, n, log.Committed)
		if err == nil && got != want {
			err = fmt.Errorf("the two logs give two states")
		}
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		opens.Add(int64(n))
	})
	if cuts.Load() == 0 {
		t.Error("no tail was ever cut")
	}
	t.Logf("%d seeds, %d commands, %d tails cut, %d times opened anew", seeds, commands.Load(), cuts.Load(), opens.Load())
}

// workOverTruncating has a seed's clients work, and returns the state and the
// closed log that it came from.
func workOverTruncating(seed uint64) (log *Truncating, state [32]byte, err error) {
	w := newWorld(seed)
	opts := w.options()
	w.resume = func() { log.Resume() }
	var s *chat.Service
	for try := uint64(0); ; try++ { // the log may lose what is proposed at opening
		opts.Engine.OpenLog = OpenTruncating(seed+try<<32, func(l *Truncating) { log = l })
		if s, err = chat.Open(vfs.NewMem(), dir, opts); err == nil {
			break
		}
		if !passes(err) {
			return nil, state, err
		}
	}
	if err := w.work(s, 150); err != nil {
		return nil, state, errors.Join(err, s.Close())
	}
	state = s.Engine().Hash()
	return log, state, errors.Join(w.err, s.Close())
}

// throughWAL applies the commands in a node that is opened again so many times,
// after it was closed or lost its power, and returns the state.
func throughWAL(rng *rand.Rand, opens int, cmds []engine.Command) (state [32]byte, err error) {
	disk, taken := vfs.NewCrashableMem(), 0
	for i := range opens + 1 {
		e, err := engine.Open(disk, dir, &chat.Machine{}, newWorld(rng.Uint64()).options().Engine)
		if err != nil {
			return state, err
		}
		until := len(cmds) * (i + 1) / (opens + 1)
		if i == opens {
			until = len(cmds)
		}
		err = appendThrough(e, rng, cmds[taken:until])
		taken = until
		left := disk.CrashClone(vfs.CrashCloneCfg{})
		state = e.Hash()
		if err := errors.Join(err, e.Close()); err != nil {
			return state, err
		}
		if rng.IntN(2) == 0 {
			disk = left
		}
	}
	e, err := engine.Open(disk, dir, &chat.Machine{}, newWorld(rng.Uint64()).options().Engine)
	if err != nil {
		return state, err
	}
	if e.Hash() != state {
		err = errors.New("opened with other options, the node has another state")
	}
	return state, errors.Join(err, e.Close())
}

// appendThrough appends commands in batches of any size and waits for them.
func appendThrough(e *engine.Engine, rng *rand.Rand, cmds []engine.Command) error {
	var last chan struct{}
	for len(cmds) > 0 {
		n, done := min(len(cmds), 1+rng.IntN(20)), make(chan struct{})
		switch err := e.Append(&engine.Batch{Commands: cmds[:n:n], Done: func(*engine.Batch) { close(done) }}); {
		case errors.Is(err, parley.Overloaded):
			time.Sleep(time.Millisecond)
		case err != nil:
			return err
		default:
			cmds, last = cmds[n:], done
		}
	}
	if last != nil {
		<-last
	}
	return nil
}

// stateOf applies a seed's commands and returns the state they give.
func stateOf(t *testing.T, seed uint64, open engine.OpenLog, resume func()) [32]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	e, err := engine.Open(vfs.NewMem(), dir, engine.Plain{}, engine.Options{
		Partitions: 4, HeadSize: 64 << 10, HeadRowsMax: 1 + rng.IntN(20), OpenLog: open,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	next := make(map[parley.ConversationID]parley.Number)
	for round := range 20 {
		var batches []*engine.Batch
		for range 1 + rng.IntN(6) {
			b := &engine.Batch{}
			for range 1 + rng.IntN(5) {
				c := parley.ConversationID{byte(rng.IntN(6))}
				next[c]++
				n := next[c]
				if rng.IntN(10) == 0 {
					n += parley.Number(rng.IntN(3)) // refused, or a repeat with another body
				}
				cmd := engine.PlainAppend(e, c, 1<<32, n, binary.LittleEndian.AppendUint64(nil, rng.Uint64()))
				cmd.Time = int64(round+1) * 1000
				b.Commands = append(b.Commands, cmd)
			}
			batches = append(batches, b)
		}
		appendAll(t, e, batches, resume)
	}
	return e.Hash()
}

// appendAll appends the batches in order, again from the first that was lost,
// until all are applied.
func appendAll(t *testing.T, e *engine.Engine, batches []*engine.Batch, resume func()) {
	t.Helper()
	for len(batches) > 0 {
		var wg sync.WaitGroup
		taken := 0
		for _, b := range batches {
			b.Done = func(*engine.Batch) { wg.Done() }
			wg.Add(1)
			if err := e.Append(b); errors.Is(err, parley.Unavailable) {
				wg.Done()
				break
			} else if err != nil {
				t.Fatal(err)
			}
			taken++
		}
		wg.Wait()
		done := 0
		for done < taken && batches[done].Err == nil {
			done++
		}
		for _, b := range batches[done:taken] {
			if !errors.Is(b.Err, engine.ErrLost) {
				t.Fatalf("a batch behind a lost one was applied: %v", b.Err)
			}
		}
		batches = batches[done:]
		resume()
	}
}
