package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// notes is Plain with rows that come and go and with lists of users: what a
// machine may do, and Plain does not. It writes down what it applies.
type notes struct {
	Plain

	mu       sync.Mutex
	applied  [][]Command // of each partition, in the order of indexes
	replayed int
	err      error
}

const (
	noteKind  = 2
	noteTable = 2
	noteUsers = 4
)

// noteRow counts how often it was changed.
type noteRow struct{ times uint32 }

func (r *noteRow) AppendTo(dst []byte) []byte { return binary.LittleEndian.AppendUint32(dst, r.times) }

// note makes the command that changes, makes or removes a note.
func note(p parley.PartitionID, id byte, remove bool) Command {
	c := Command{Partition: p, Kind: noteKind, Version: 1, Body: []byte{id, 0}}
	if remove {
		c.Body[1] = 1
	}
	return c
}

func (m *notes) Apply(tx *Tx, c *Command) Result {
	m.record(tx, c)
	if c.Kind != noteKind {
		return m.Plain.Apply(tx, c)
	}
	key := Key{Table: noteTable, A: [16]byte{c.Body[0]}, B: [16]byte{1}}
	user, slot := parley.UserID{c.Body[0] % noteUsers}, tx.Find(key)
	listed := room(int(c.Partition)<<8 | int(c.Body[0])) // of one partition, like every conversation
	switch {
	case c.Body[1] == 1 && slot == nil:
		return Result{Code: parley.NotAllowed}
	case c.Body[1] == 1:
		tx.Remove(slot)
		tx.Leave(user, listed)
	case slot == nil:
		tx.Insert(key, &noteRow{})
		tx.Touch(user, listed)
	default:
		tx.Change(slot).(*noteRow).times++
		tx.Touch(user, listed)
	}
	return Result{}
}

func (m *notes) DecodeRow(k Key, b []byte) (Row, error) {
	if k.Table != noteTable {
		return m.Plain.DecodeRow(k, b)
	}
	if len(b) != 4 {
		return nil, ErrCorrupt
	}
	return &noteRow{binary.LittleEndian.Uint32(b)}, nil
}

// record writes a command down. What stood at its index and behind came after a
// crash that this store has not seen; at a replay it must be the same again.
func (m *notes) record(tx *Tx, c *Command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for int(c.Partition) >= len(m.applied) {
		m.applied = append(m.applied, nil)
	}
	log := &m.applied[c.Partition]
	at := int(c.Index) - 1
	if at > len(*log) {
		m.err = fmt.Errorf("index %d of partition %d after %d", c.Index, c.Partition, len(*log))
		return
	}
	if !tx.Live() {
		m.replayed++
		if at < len(*log) && !bytes.Equal(AppendRecord(nil, c), AppendRecord(nil, &(*log)[at])) {
			m.err = fmt.Errorf("index %d of partition %d was replayed as another command", c.Index, c.Partition)
		}
	}
	kept := *c
	kept.Body = bytes.Clone(c.Body)
	*log = append((*log)[:at], kept)
}

// commands are those up to the indexes, in an order in which they can be
// appended anew: stamps never run backwards.
func (m *notes) commands(indexes []uint64) ([]Command, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Command
	for p, n := range indexes {
		if n == 0 {
			continue
		}
		if p >= len(m.applied) || uint64(len(m.applied[p])) < n {
			return nil, fmt.Errorf("partition %d is at index %d, which was never applied", p, n)
		}
		all = append(all, m.applied[p][:n]...)
	}
	slices.SortStableFunc(all, func(a, b Command) int { return int(a.Time - b.Time) })
	return all, m.err
}

// behave has notes changed at random until stop is closed.
func behave(t testing.TB, e *Engine, rng *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(100 * time.Microsecond):
		}
		var cmds []Command
		for range 1 + rng.IntN(4) {
			cmds = append(cmds, note(parley.PartitionID(rng.IntN(e.Partitions())), byte(rng.IntN(12)), rng.IntN(3) == 0))
		}
		if _, err := e.AppendWait(t.Context(), cmds...); err != nil && !errors.Is(err, parley.Overloaded) {
			return
		}
	}
}

// sameAsAnew applies the engine's commands to a new store under other options
// and compares the two states, and the lists of users, which Hash leaves out.
func (m *notes) sameAsAnew(t testing.TB, e *Engine, opts Options) error {
	t.Helper()
	cmds, err := m.commands(e.indexes())
	if err != nil {
		return err
	}
	opts.Partitions = e.Partitions()
	fresh := open(t, vfs.NewMem(), testDir, &notes{}, opts)
	defer closeEngine(t, fresh)
	for len(cmds) > 0 {
		n := min(len(cmds), 20)
		b := &Batch{Commands: cmds[:n], Done: func(*Batch) {}}
		switch err := fresh.Append(b); {
		case errors.Is(err, parley.Overloaded):
			time.Sleep(time.Millisecond)
			continue
		case err != nil:
			return err
		}
		cmds = cmds[n:]
	}
	for !slices.Equal(fresh.indexes(), e.indexes()) {
		time.Sleep(100 * time.Microsecond)
	}
	if fresh.Hash() != e.Hash() {
		return errors.New("the state is not that of the same commands applied anew")
	}
	for u := range byte(noteUsers) {
		if a, b := listOf(fresh, u), listOf(e, u); !slices.Equal(a, b) {
			return fmt.Errorf("user %d has the list %v, anew %v", u, b, a)
		}
		if err := checkCommon(e, u, (u+1)%noteUsers); err != nil {
			return err
		}
	}
	return nil
}

// checkCommon holds what two lists have in common to the lists.
func checkCommon(e *Engine, u, v byte) error {
	want := make(map[parley.ConversationID]bool)
	for _, a := range listOf(e, u) {
		for _, b := range listOf(e, v) {
			if a.Conversation == b.Conversation && !a.Left && !b.Left {
				want[a.Conversation] = true
			}
		}
	}
	all := e.Common(parley.UserID{u}, parley.UserID{v}, 1<<20)
	for _, c := range all {
		if !want[c] {
			return fmt.Errorf("users %d and %d do not both list %v", u, v, c)
		}
	}
	if few := e.Common(parley.UserID{u}, parley.UserID{v}, 1); len(all) != len(want) || len(few) > 1 {
		return fmt.Errorf("users %d and %d have %d conversations in common, %d in one line, want %d", u, v, len(all), len(few), len(want))
	}
	return nil
}

func listOf(e *Engine, u byte) []Listed {
	list := e.Conversations(parley.UserID{u})
	slices.SortFunc(list, func(a, b Listed) int { return bytes.Compare(a.Conversation[:], b.Conversation[:]) })
	return list
}

// hours is a clock that goes on by twenty minutes whenever somebody looks, so
// that the hours of lists change.
func hours() func() time.Time {
	var mu sync.Mutex
	now := time.Unix(1_000_000, 0)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(20 * time.Minute)
		return now
	}
}
