package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// newest is what a look from the last message backwards shows, at most n.
func newest(e *Engine, c parley.ConversationID, n int) string {
	var b strings.Builder
	e.View(e.Partition(parley.DefaultTenant, c), func(v *View) {
		s := v.Find(ConversationKey(c))
		if s == nil {
			return
		}
		v.Newest(s, func(m Message) bool {
			fmt.Fprintf(&b, "%d/%d:%s ", m.Seq, m.Ordinal, PlainBody(m))
			n--
			return n > 0
		})
	})
	return strings.TrimSpace(b.String())
}

// A look backwards goes through the heads in memory, as far as it is wanted, and
// ends at what is on disk.
func TestNewest(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, e)
	for n := parley.Number(1); n <= 4; n++ {
		send(t, e, room(1), born(1, 1), n, fmt.Sprint("m", n))
		send(t, e, room(2), born(1, 1), n, "other")
	}
	if got := newest(e, room(1), 99); got != "4/4:m4 3/3:m3 2/2:m2 1/1:m1" {
		t.Errorf("in a head: %q", got)
	}
	if got := newest(e, room(1), 2); got != "4/4:m4 3/3:m3" {
		t.Errorf("two of them: %q", got)
	}
	if err := e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := newest(e, room(1), 99); got != "" {
		t.Errorf("all is on disk: %q", got)
	}
	send(t, e, room(1), born(1, 1), 5, "m5")
	if got := newest(e, room(1), 99); got != "5/5:m5" {
		t.Errorf("behind the cut: %q", got)
	}
	if got := newest(e, room(3), 99); got != "" {
		t.Errorf("no conversation: %q", got)
	}
	if n := testing.AllocsPerRun(100, func() {
		e.View(0, func(v *View) {
			if s := v.Find(ConversationKey(room(1))); s != nil {
				v.Newest(s, func(Message) bool { return true })
			}
		})
	}); n != 0 && !underRace {
		t.Errorf("a look allocates %v times", n)
	}
}

// A look shows no message twice and skips none while others are added and heads
// are flushed.
func TestNewestBesideTheApplier(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{HeadRowsMax: 3})
	defer closeEngine(t, e)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			next := parley.Seq(0)
			var err error
			e.View(e.Partition(parley.DefaultTenant, room(1)), func(v *View) {
				s := v.Find(ConversationKey(room(1)))
				if s == nil {
					return
				}
				next = s.Last()
				v.Newest(s, func(m Message) bool {
					if m.Seq != next || string(PlainBody(m)) != fmt.Sprint(m.Seq) {
						err = fmt.Errorf("message %d %q where %d was due", m.Seq, PlainBody(m), next)
					}
					next--
					return err == nil
				})
			})
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	for n := parley.Number(1); n <= 500; n++ {
		send(t, e, room(1), born(1, 1), n, fmt.Sprint(n))
		send(t, e, room(1000+int(n)), born(1, 2), 1, "other")
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// Owns is the partition of Engine.Partition, and of no other.
func TestOwns(t *testing.T) {
	m := &owner{}
	e := open(t, vfs.NewMem(), testDir, m, Options{Partitions: 7})
	defer closeEngine(t, e)
	for i := range 50 {
		id := room(i)
		p := e.Partition(3, id)
		if _, err := e.AppendWait(t.Context(), Command{Partition: p, Body: id[:]}, Command{Partition: (p + 1) % 7, Body: id[:]}); err != nil {
			t.Fatal(err)
		}
		if len(m.said) != 2 || !m.said[0] || m.said[1] {
			t.Fatalf("%v owns: %v", id, m.said)
		}
		m.said = m.said[:0]
	}
}

// owner notes whether the partition of each command owns the id in its body.
type owner struct {
	Plain
	said []bool
}

func (m *owner) Apply(tx *Tx, c *Command) Result {
	m.said = append(m.said, tx.Owns(3, [16]byte(c.Body)))
	return Result{}
}
