package segment

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// messages collects a range.
func messages(r *Reader, p parley.PartitionID, c parley.ConversationID, want parley.SeqRange) ([]Message, error) {
	var all []Message
	for m, err := range r.Messages(p, c, want) {
		if err != nil {
			return nil, err
		}
		m.Record = bytes.Clone(m.Record)
		all = append(all, m)
	}
	return all, nil
}

// Whatever the shape of the runs, each range of each conversation is what a
// slice says it is.
func TestReadAgainstSlices(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		runs := spread(rng)
		disk := vfs.NewMem()
		info := write(t, disk, "s", 42, runs)
		r, err := Open(disk, "s")
		if err != nil {
			t.Fatal(err)
		}
		if r.Info() != info || info.Runs != uint32(len(runs)) || info.ID != 42 {
			t.Errorf("seed %d: info %+v, written %+v of %d runs", seed, r.Info(), info, len(runs))
		}
		all, err := readRuns(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := differ(all, runs); err != nil {
			t.Errorf("seed %d: all: %v", seed, err)
		}
		for _, run := range runs {
			checkRun(t, rng, r, run)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkRun(t *testing.T, rng *rand.Rand, r *Reader, run testRun) {
	t.Helper()
	got, ok, err := r.Run(run.Partition, run.Conversation)
	if err != nil || !ok || got != run.Run {
		t.Errorf("run %+v, %v, %v; want %+v", got, ok, err, run.Run)
	}
	n := uint64(len(run.messages))
	last := run.First + parley.Seq(n) - 1
	ranges := []parley.SeqRange{
		{From: 0, To: 1 << 60}, {From: run.First, To: run.First}, {From: last, To: last},
		{From: last + 1, To: last + 10}, {From: 0, To: run.First - 1}, {From: run.First + 1, To: run.First},
	}
	for range 6 {
		from := run.First + parley.Seq(rng.Uint64N(n))
		ranges = append(ranges, parley.SeqRange{From: from, To: from + parley.Seq(rng.Uint64N(n+3))})
	}
	for _, want := range ranges {
		var model []Message
		for _, m := range run.messages {
			if want.Contains(m.Seq) {
				model = append(model, m)
			}
		}
		got, err := messages(r, run.Partition, run.Conversation, want)
		if err != nil {
			t.Errorf("%v: %v", want, err)
		} else if err := differMessages(got, model); err != nil {
			t.Errorf("%v of %v+%d: %v", want, run.First, n, err)
		}
	}
}

func TestAbsent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r, err := openBytes(t, encode(t, 1, small(rng)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, k := range []struct {
		p parley.PartitionID
		c parley.ConversationID
	}{
		{0, parley.ConversationID{1}},
		{1, parley.ConversationID{}},
		{1, parley.ConversationID{1, 1}},
		{2, parley.ConversationID{1}},
		{300, parley.ConversationID{2}},
		{4000, parley.ConversationID{1}},
	} {
		if _, ok, err := r.Run(k.p, k.c); ok || err != nil {
			t.Errorf("run of %v: %v, %v", k, ok, err)
		}
		if got, err := messages(r, k.p, k.c, parley.SeqRange{To: 1 << 60}); len(got) > 0 || err != nil {
			t.Errorf("messages of %v: %d, %v", k, len(got), err)
		}
	}
}

func TestEmpty(t *testing.T) {
	r, err := openBytes(t, encode(t, 3, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if want := (Info{ID: 3, Size: headerSize + footerSize}); r.Info() != want {
		t.Errorf("info %+v, want %+v", r.Info(), want)
	}
	if runs, err := readRuns(r); len(runs) > 0 || err != nil {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if _, ok, err := r.Run(0, parley.ConversationID{}); ok || err != nil {
		t.Errorf("run: %v, %v", ok, err)
	}
	if got, err := messages(r, 0, parley.ConversationID{}, parley.SeqRange{To: 9}); len(got) > 0 || err != nil {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

// A reader may stop wherever he likes, also between two blocks.
func TestStopEarly(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	run := testRun{Run: Run{First: 1}}
	for range 200 {
		run.add(rng, 500)
	}
	r, err := openBytes(t, encode(t, 1, []testRun{run}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for n := range 200 {
		seen := 0
		for range r.Messages(0, parley.ConversationID{}, parley.SeqRange{From: 1, To: 200}) {
			if seen++; seen > n {
				break
			}
		}
		if seen != n+1 {
			t.Fatalf("saw %d, wanted to stop at %d", seen, n+1)
		}
	}
	for range r.All() {
		break
	}
}

func TestNames(t *testing.T) {
	for id, name := range map[uint64]string{1: "000000000001.seg", 1234567890123: "1234567890123.seg"} {
		if got := FileName(id); got != name {
			t.Errorf("FileName(%d) = %q, want %q", id, got, name)
		}
		if got, ok := ParseFileName(name); got != id || !ok {
			t.Errorf("ParseFileName(%q) = %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", ".seg", "1.seg", "000000000000.seg", "000000000001", "000000000001.seg.aside", "+00000000001.seg", "0x0000000001.seg", "0000000000001.seg"} {
		if id, ok := ParseFileName(name); ok {
			t.Errorf("ParseFileName(%q) = %d", name, id)
		}
	}
}

func TestMissing(t *testing.T) {
	if _, err := Open(vfs.NewMem(), "s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
}

// An unfinished segment is none.
func TestAbort(t *testing.T) {
	disk := vfs.NewMem()
	w, err := Create(disk, "s", 1)
	if err != nil {
		t.Fatal(err)
	}
	run := testRun{Run: Run{First: 1}}
	run.add(rand.New(rand.NewPCG(1, 1)), 100)
	if err := errors.Join(w.Run(run.Run), w.Add(run.messages[0]), w.Abort()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(disk, "s"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open: %v, want ErrCorrupt", err)
	}
}
