package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// A slot that comes with a command saves a look-up and decides nothing: not one
// of another conversation, and not one of another engine.
func TestHintDecidesNothing(t *testing.T) {
	right := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, right)
	other := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, other)
	slotOf := func(e *Engine, n int) (s *Slot) {
		id := room(n)
		e.View(e.Partition(0, id), func(v *View) { s = v.Find(ConversationKey(id)) })
		return s
	}
	plain := func(e *Engine, n int, number uint32) Command {
		return PlainAppend(e, room(n), born(1, 1), parley.Number(number), []byte("body"))
	}
	for _, e := range []*Engine{right, other} {
		for n := range 8 {
			if _, err := e.AppendWait(t.Context(), plain(e, n, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := other.Hash()
	for n := range 8 {
		for i, hint := range []*Slot{slotOf(right, n), slotOf(right, (n+1)%8), slotOf(other, n), nil} {
			c := plain(right, n, uint32(2+i))
			c.Slot = hint
			results, err := right.AppendWait(t.Context(), c)
			if err != nil || results[0].Seq != parley.Seq(2+i) {
				t.Fatalf("room %d, hint %d: %+v, %v", n, i, results, err)
			}
		}
	}
	if other.Hash() != before {
		t.Fatal("a hint changed another engine")
	}
}
