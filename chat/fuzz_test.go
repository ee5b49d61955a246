package chat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// A row that can be read is written again as it was; nothing makes the decoder
// panic.
func FuzzDecodeRow(f *testing.F) {
	for name, row := range goldenRows() {
		f.Add(goldenTables[name], row.AppendTo(nil))
	}
	f.Add(uint8(99), []byte{1})
	f.Fuzz(func(t *testing.T, table uint8, b []byte) {
		row, err := (&Machine{}).DecodeRow(engine.Key{Table: table}, b)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
			return
		}
		if again := row.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is written again as %x", b, again)
		}
	})
}

// Whatever stands in a log is applied or refused, and a refusal leaves no trace.
func FuzzApply(f *testing.F) {
	kinds := map[string]uint8{
		"settings": kindSettings, "user": kindUser, "create": kindCreate, "add": kindAdd, "remove": kindRemove,
		"role": kindRole, "send": kindSend, "mark": kindMark, "prefer": kindPrefer,
		"rename": kindRename, "connect": kindConnect, "seen": kindSeen, "revoke": kindRevoke, "profile": kindProfile, "beat": kindBeat,
	}
	for name, body := range goldenCommands() {
		f.Add(kinds[name], uint8(commandVersion), uint32(0), body)
	}
	direct := parley.DirectConversation(0, goldenAnn, goldenBob)
	f.Add(kindCreate, uint8(commandVersion), uint32(0), appendCreate(nil, direct, goldenAnn, parley.Direct, "", []parley.UserID{goldenBob}))
	f.Add(kindRemove, uint8(commandVersion), uint32(0), appendRemove(nil, goldenRoom, goldenAnn, goldenAnn))
	f.Add(kindRemove, uint8(commandVersion), uint32(0), appendRemove(nil, direct, goldenAnn, goldenAnn))
	f.Add(kindMark, uint8(commandVersion), uint32(0), appendMark(nil, mark{goldenRoom, goldenBob, 1, 1, 0, 0}))
	f.Add(kindSend, uint8(0), uint32(1), []byte(nil))
	var e *engine.Engine
	f.Cleanup(func() {
		if e != nil {
			_ = e.Close()
		}
	})
	f.Fuzz(func(t *testing.T, kind, version uint8, tenant uint32, body []byte) {
		if len(body) > 8<<10 {
			return
		}
		if e == nil || e.Stats().Applied > 500 {
			if e != nil {
				_ = e.Close()
			}
			e = openFuzz(t)
		}
		before := rowsOf(e)
		var r []engine.Result
		insist(t, func() (err error) {
			r, err = e.AppendWait(t.Context(), engine.Command{Kind: kind, Version: version, Tenant: parley.TenantID(tenant), Body: body})
			return err
		})
		after := rowsOf(e)
		if (r[0].Code != parley.OK || r[0].Repeat) && before != after {
			t.Fatalf("kind %d: %+v, and something changed", kind, r[0])
		}
	})
}

// openFuzz opens a store in which the golden conversation stands.
func openFuzz(t *testing.T) *engine.Engine {
	e, err := engine.Open(vfs.NewMem(), "data", &Machine{}, engine.Options{
		Partitions: 1, HeadSize: 64 << 10, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []engine.Command{
		{Kind: kindCreate, Body: appendCreate(nil, goldenRoom, goldenAnn, parley.Group, "title", []parley.UserID{goldenBob})},
		{Kind: kindSend, Body: appendSend(nil, goldenBob, &parley.Draft{Conversation: goldenRoom, Stream: 1, Number: 1, Kind: parley.KindText})},
	} {
		c.Version = commandVersion
		if r, err := e.AppendWait(t.Context(), c); err != nil || r[0].Code != parley.OK {
			t.Fatal(r, err)
		}
	}
	return e
}

// rowsOf is a sum over all rows and lists, whatever their order. It also reads
// each row again.
func rowsOf(e *engine.Engine) (sum [sha256.Size]byte) {
	add := func(parts ...[]byte) {
		one := sha256.Sum256(bytes.Join(parts, nil))
		for i := range sum {
			sum[i] ^= one[i]
		}
	}
	users := make(map[parley.UserID]bool)
	e.View(0, func(v *engine.View) {
		for table := range uint8(8) {
			v.Each(table, func(k engine.Key, s *engine.Slot) {
				row := s.Row().AppendTo(nil)
				if _, err := (&Machine{}).DecodeRow(k, row); err != nil {
					panic(err)
				}
				add([]byte{k.Table}, k.A[:], k.B[:], appendU64(nil, uint64(s.Last())), row)
				if c, ok := s.Row().(*conversation); ok {
					for i := range c.members {
						users[c.members[i].user] = true
					}
				}
			})
		}
	})
	for u := range users {
		for _, l := range e.Conversations(u) {
			left := byte(0)
			if l.Left {
				left = 1
			}
			add([]byte("list"), u[:], l.Conversation[:], appendU32(nil, l.Hour), []byte{left})
		}
	}
	return sum
}
