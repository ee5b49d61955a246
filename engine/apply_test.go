package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// Apply decides each command by itself: a refusal in a batch leaves no gap and
// does not hold up what follows.
func TestApplyResults(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, e)
	a, b, s := room(1), room(2), born(100, 1)
	plain := func(c parley.ConversationID, n parley.Number, body string) Command {
		return PlainAppend(e, c, s, n, []byte(body))
	}
	unknownKind, unknownVersion, short := plain(a, 1, "x"), plain(a, 1, "x"), plain(a, 1, "")
	unknownKind.Kind = 9
	unknownVersion.Version = 2
	short.Body = short.Body[:plainHeaderSize-1]
	steps := []struct {
		cmd  Command
		want Result
	}{
		{plain(a, 1, "one"), Result{Seq: 1}},
		{plain(b, 1, "one"), Result{Seq: 1}},
		{plain(a, 3, "three"), Result{Code: parley.RetryInOrder, Expected: 2}},
		{plain(a, 2, "two"), Result{Seq: 2}},
		{unknownKind, Result{Code: parley.Unsupported}},
		{unknownVersion, Result{Code: parley.Unsupported}},
		{short, Result{Code: parley.BadRequest}},
		{plain(a, 0, "none"), Result{Code: parley.BadRequest}},
		{plain(a, 2, "two"), Result{Seq: 2, Repeat: true}},
		{plain(a, 2, "zwei"), Result{Code: parley.NumberReused}},
		{plain(a, 1, "eins"), Result{Repeat: true}},
		{plain(a, 3, "three"), Result{Seq: 3}},
		{plain(b, 2, "two"), Result{Seq: 2}},
	}
	var cmds []Command
	for _, s := range steps {
		cmds = append(cmds, s.cmd)
	}
	results, err := e.AppendWait(t.Context(), cmds...)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		got := results[i]
		if got.Time != results[0].Time || got.Time == 0 {
			t.Errorf("command %d: stamp %d, the first has %d", i, got.Time, results[0].Time)
		}
		got.Time = 0
		if got != s.want {
			t.Errorf("command %d: %+v, want %+v", i, got, s.want)
		}
	}
	if got := bodies(t, e, a); got != "one two three" {
		t.Errorf("first conversation: %s", got)
	}
	if got := bodies(t, e, b); got != "one two" {
		t.Errorf("second conversation: %s", got)
	}
	if s := e.Stats(); s.Applied != 13 || s.Refused != 6 || s.Rows != 2 || s.Groups != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A message carries its command as it stands in the log.
func TestReadGivesTheCommand(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, e)
	c := PlainAppend(e, room(1), 5, 1, []byte("hello"))
	c.Tenant, c.Key, c.Time = 7, 8, 1234
	if _, err := e.AppendWait(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	check := func(where string) {
		t.Helper()
		all, err := readAll(t, e, room(1), 1)
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d messages, %v", where, len(all), err)
		}
		m := all[0]
		if m.Seq != 1 || m.Ordinal != 1 || m.Tenant != 7 || m.Key != 8 || m.Time != 1234 || m.Index != 1 || m.Term != 0 ||
			m.Kind != plainKind || m.Version != 1 || m.Partition != c.Partition || string(PlainBody(m)) != "hello" {
			t.Errorf("%s: %+v", where, m)
		}
	}
	check("from the head")
	if err := e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("from a segment")
}

func TestReadRanges(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{})
	defer closeEngine(t, e)
	const last = 3 * readChunk
	for n := parley.Number(1); n <= last; n++ {
		send(t, e, room(1), 5, n, "x")
		if n == readChunk+10 || n == 2*readChunk+20 {
			if err := e.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []parley.SeqRange{
		{From: 0, To: 0}, {From: 1, To: 1}, {From: 0, To: 5}, {From: 5, To: 4}, {From: last, To: last + 9},
		{From: last + 1, To: last + 9}, {From: 1, To: last}, {From: readChunk, To: 2*readChunk + 30},
		{From: readChunk + 11, To: readChunk + 11}, {From: 2*readChunk + 20, To: 2*readChunk + 21},
	} {
		from, to := max(want.From, 1), min(want.To, last)
		var got []parley.Seq
		for m, err := range e.Read(t.Context(), e.Partition(0, room(1)), room(1), want) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Seq)
		}
		model := parley.SeqRange{From: from, To: to}
		if uint64(len(got)) != model.Len() {
			t.Errorf("%v: %d messages, want %d", want, len(got), model.Len())
			continue
		}
		for i, s := range got {
			if s != from+parley.Seq(i) {
				t.Errorf("%v: sequence %d at place %d", want, s, i)
			}
		}
	}
	if got := bodies(t, e, room(9)); got != "" {
		t.Errorf("a conversation that is not there: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range e.Read(ctx, e.Partition(0, room(1)), room(1), parley.SeqRange{From: 1, To: 9}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read under an ended context: %v", err)
		}
	}
	for range e.Read(t.Context(), e.Partition(0, room(1)), room(1), parley.SeqRange{From: 1, To: last}) {
		break
	}
}

// Partitions share segments and nothing else: tenants may use one id in two.
func TestOneIDInTwoPartitions(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{Partitions: 2})
	defer closeEngine(t, e)
	var next [2]parley.Number
	for range 4 {
		for p := range parley.PartitionID(2) {
			for range 1 + 2*p {
				next[p]++
				c := PlainAppend(e, room(1), 1, next[p], []byte{byte(p)})
				c.Partition = p
				if r, err := e.AppendWait(t.Context(), c); err != nil || r[0].Seq != parley.Seq(next[p]) {
					t.Fatalf("partition %d: %+v, %v", p, r, err)
				}
			}
		}
		if err := e.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for p := range parley.PartitionID(2) {
		for from := parley.Seq(1); from <= parley.Seq(next[p]); from++ {
			due := from
			for m, err := range e.Read(t.Context(), p, room(1), parley.SeqRange{From: from, To: 99}) {
				if err != nil || m.Seq != due || PlainBody(m)[0] != byte(p) {
					t.Fatalf("partition %d from %d: sequence %d, %v", p, from, m.Seq, err)
				}
				due++
			}
			if due != parley.Seq(next[p])+1 {
				t.Errorf("partition %d from %d: ended at %d", p, from, due)
			}
		}
	}
}

func TestAppendRefusesAtOnce(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{HeadSize: 64 << 10})
	defer closeEngine(t, e)
	never := func(*Batch) { t.Error("Done of a batch that was refused") }
	elsewhere := PlainAppend(e, room(1), 1, 1, nil)
	elsewhere.Partition = 3
	large := PlainAppend(e, room(1), 1, 1, make([]byte, 20<<10))
	for what, c := range map[string]struct {
		cmds []Command
		want parley.Code
	}{
		"no command":        {nil, parley.BadRequest},
		"unknown partition": {[]Command{elsewhere}, parley.BadRequest},
		"too large":         {[]Command{large}, parley.TooLarge},
	} {
		if err := e.Append(&Batch{Commands: c.cmds, Done: never}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	// A refused batch leaves no hole in the indexes.
	if r := send(t, e, room(1), 1, 1, "x"); r.Seq != 1 {
		t.Errorf("after the refusals: %+v", r)
	}
	all, err := readAll(t, e, room(1), 1)
	if err != nil || len(all) != 1 || all[0].Index != 1 {
		t.Errorf("after the refusals: %+v, %v", all, err)
	}
}

// Stamps never run backwards in the log, whatever the clock and the callers say,
// and Floor keeps up with them. What was refused has no say.
func TestStamps(t *testing.T) {
	now := time.UnixMicro(1000)
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{Now: func() time.Time { return now }})
	defer closeEngine(t, e)
	at := func(given int64, n parley.Number) int64 {
		t.Helper()
		c := PlainAppend(e, room(1), 1, n, nil)
		c.Time = given
		r, err := e.AppendWait(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if f := e.Floor(); f != r[0].Time {
			t.Errorf("floor %d after a stamp of %d", f, r[0].Time)
		}
		return r[0].Time
	}
	refused := PlainAppend(e, room(1), 1, 1, make([]byte, 60<<10))
	refused.Time = 1 << 50
	if err := e.Append(&Batch{Commands: []Command{refused}}); !errors.Is(err, parley.TooLarge) {
		t.Fatalf("a large batch: %v", err)
	}
	for i, c := range []struct{ clock, given, want int64 }{
		{1000, 0, 1000}, {900, 0, 1000}, {1100, 0, 1100}, {1100, 5000, 5000}, {1200, 0, 5000}, {1200, 3000, 5000}, {6000, 0, 6000},
	} {
		now = time.UnixMicro(c.clock)
		if got := at(c.given, parley.Number(i+1)); got != c.want {
			t.Errorf("clock %d, given %d: stamp %d, want %d", c.clock, c.given, got, c.want)
		}
	}
}

func TestView(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{Partitions: 1})
	defer closeEngine(t, e)
	for n := range 5 {
		send(t, e, room(n), 1, 1, "x")
	}
	e.View(0, func(v *View) {
		seen := 0
		v.Each(TableConversation, func(k Key, s *Slot) {
			seen++
			if v.Find(k) != s || s.Last() != 1 || s.OnDisk() || s.Row() == nil {
				t.Errorf("%x: slot %+v", k.A, s)
			}
		})
		v.Each(2, func(Key, *Slot) { t.Error("a row of another table") })
		if seen != 5 || v.Time() == 0 || v.Find(ConversationKey(room(9))) != nil {
			t.Errorf("%d rows, time %d", seen, v.Time())
		}
	})
	if err := e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.View(0, func(v *View) {
		v.Each(TableConversation, func(k Key, s *Slot) {
			if !s.OnDisk() {
				t.Errorf("%x: flushed, and not on disk", k.A)
			}
		})
	})
}

func TestRecord(t *testing.T) {
	c := Command{
		Partition: 0x0102, Kind: 3, Version: 4, Tenant: 0x05060708, Key: 9, Term: 10, Index: 11, Time: -12, Body: []byte("body"),
	}
	b := AppendRecord([]byte("before"), &c)
	const want = "before" + "\x02\x01" + "\x03" + "\x04" + "\x08\x07\x06\x05" + "\x09\x00\x00\x00" + "\x0a\x00\x00\x00" +
		"\x0b\x00\x00\x00\x00\x00\x00\x00" + "\xf4\xff\xff\xff\xff\xff\xff\xff" + "body"
	if string(b) != want {
		t.Errorf("record\n%x, want\n%x", b, want)
	}
	got, err := ParseRecord(b[len("before"):])
	if err != nil || string(AppendRecord(nil, &got)) != want[len("before"):] || got.Time != -12 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseRecord(make([]byte, recordHeaderSize-1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a short record: %v, want ErrCorrupt", err)
	}
}

// Everyone finds a conversation in the same place: by FNV-1a.
func TestPartition(t *testing.T) {
	e := open(t, vfs.NewMem(), testDir, Plain{}, Options{Partitions: 100})
	defer closeEngine(t, e)
	for n := range 50 {
		tenant, id := parley.TenantID(n*n), room(n)
		h := fnv.New64a()
		_, _ = h.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(tenant)), id[:]...))
		if got, want := e.Partition(tenant, id), parley.PartitionID(h.Sum64()%100); got != want {
			t.Errorf("partition of tenant %d, %v: %d, want %d", tenant, id, got, want)
		}
	}
}

func TestPlainRow(t *testing.T) {
	row := &plainRow{streams: *streamsOf(2, 1, 2)}
	b := row.AppendTo(nil)
	if _, err := (Plain{}).DecodeRow(Key{}, b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(b, 0)} {
		if _, err := (Plain{}).DecodeRow(Key{}, bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("row of %d bytes: %v, want ErrCorrupt", len(bad), err)
		}
	}
}

// keeper is a machine that does what it is told to rows; its errors are bugs.
type keeper struct {
	Plain
	do func(tx *Tx)
}

func (k keeper) Apply(tx *Tx, _ *Command) (r Result) {
	defer func() {
		if err, ok := recover().(error); ok {
			r.Code = parley.NotAllowed
			if !strings.HasPrefix(err.Error(), "BUG: ") {
				panic(err)
			}
		}
	}()
	k.do(tx)
	return Result{}
}

// What a machine must not do stops it, before anything is changed.
func TestMachineBugs(t *testing.T) {
	key, note := ConversationKey(room(1)), Key{Table: 2}
	var do func(tx *Tx)
	e := open(t, vfs.NewMem(), testDir, keeper{do: func(tx *Tx) { do(tx) }}, Options{Partitions: 1})
	defer closeEngine(t, e)
	for _, c := range []struct {
		what string
		do   func(tx *Tx)
		bug  bool
	}{
		{"insert", func(tx *Tx) { tx.Insert(key, &plainRow{}); tx.Insert(note, &plainRow{}) }, false},
		{"insert again", func(tx *Tx) { tx.Insert(key, &plainRow{}) }, true},
		{"link to another table", func(tx *Tx) { tx.Link(tx.Find(note), 1) }, true},
		{"remove a conversation, whose sequences would be given again", func(tx *Tx) { tx.Remove(tx.Find(key)) }, true},
		{"remove", func(tx *Tx) { tx.Remove(tx.Find(note)) }, false},
		{"find what is removed", func(tx *Tx) {
			if tx.Find(note) != nil {
				t.Error("a removed row is found")
			}
		}, false},
		{"insert what was removed", func(tx *Tx) { tx.Insert(note, &plainRow{}) }, false},
	} {
		do = c.do
		r, err := e.AppendWait(t.Context(), Command{Body: binary.LittleEndian.AppendUint64(nil, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if bug := r[0].Code != parley.OK; bug != c.bug {
			t.Errorf("%s: taken for a bug: %v, want %v", c.what, bug, c.bug)
		}
	}
}
