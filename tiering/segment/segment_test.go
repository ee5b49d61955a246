package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// testRun is a run and what it holds.
type testRun struct {
	Run
	messages []Message
}

// add appends a message with a record of so many bytes.
func (r *testRun) add(rng *rand.Rand, size int) {
	record := make([]byte, size)
	for i := range record {
		record[i] = byte(rng.Uint32())
	}
	n := len(r.messages)
	r.messages = append(r.messages, Message{
		Seq: r.First + parley.Seq(n), Index: rng.Uint64(), Ordinal: parley.Ordinal(n), Record: record,
	})
}

// write writes the runs, in their order, as one segment.
func write(t testing.TB, fs vfs.FS, path string, id uint64, runs []testRun) Info {
	t.Helper()
	w, err := Create(fs, path, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if err := w.Run(r.Run); err != nil {
			t.Fatal(err)
		}
		for _, m := range r.messages {
			m.Seq = 0 // the place in the run gives it
			if err := w.Add(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// encode is the bytes of a segment.
func encode(t testing.TB, id uint64, runs []testRun) []byte {
	t.Helper()
	fs := vfs.NewMem()
	write(t, fs, "s", id, runs)
	f, err := fs.Open("s")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// openBytes opens bytes as a segment.
func openBytes(t testing.TB, b []byte) (*Reader, error) {
	t.Helper()
	fs := vfs.NewMem()
	f, err := fs.Create("s", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.Write(slices.Clone(b)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return Open(fs, "s")
}

// readRuns reads a segment whole.
func readRuns(r *Reader) ([]testRun, error) {
	var runs []testRun
	for m, err := range r.All() {
		if err != nil {
			return nil, err
		}
		n := len(runs)
		if n == 0 || runs[n-1].Partition != m.Partition || runs[n-1].Conversation != m.Conversation {
			runs = append(runs, testRun{Run: m.Run})
			n++
		}
		m.Record = bytes.Clone(m.Record)
		runs[n-1].messages = append(runs[n-1].messages, m.Message)
	}
	return runs, nil
}

// differ says where what was read is not what was written.
func differ(got, want []testRun) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d runs, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Run != want[i].Run {
			return fmt.Errorf("run %d is %+v, want %+v", i, got[i].Run, want[i].Run)
		}
		if err := differMessages(got[i].messages, want[i].messages); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	return nil
}

func differMessages(got, want []Message) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d messages, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		if g.Seq != w.Seq || g.Index != w.Index || g.Ordinal != w.Ordinal || !bytes.Equal(g.Record, w.Record) {
			return fmt.Errorf("message %d is %d/%d/%d of %d bytes, want %d/%d/%d of %d bytes", i,
				g.Seq, g.Index, g.Ordinal, len(g.Record), w.Seq, w.Index, w.Ordinal, len(w.Record))
		}
	}
	return nil
}

// small is a few short runs in one block.
func small(rng *rand.Rand) []testRun {
	runs := []testRun{
		{Run: Run{Partition: 1, Conversation: parley.ConversationID{1}, First: 1}},
		{Run: Run{Partition: 1, Conversation: parley.ConversationID{2}, Previous: 9, First: 31}},
		{Run: Run{Partition: 300, Conversation: parley.ConversationID{1}, Previous: 1 << 40, First: 1 << 50}},
	}
	for i := range runs {
		for range 2 + i {
			runs[i].add(rng, rng.IntN(90))
		}
	}
	return runs
}

// medium is some blocks, and runs that go on from one to the next.
func medium(rng *rand.Rand) []testRun {
	runs := small(rng)
	for i := range runs {
		for range 22 {
			runs[i].add(rng, rng.IntN(2000))
		}
	}
	return runs
}

// spread is runs of every size: many in one block, and one in many.
func spread(rng *rand.Rand) []testRun {
	var runs []testRun
	for p := range 3 {
		for c := range 2 + rng.IntN(20) {
			r := testRun{Run: Run{
				Partition: parley.PartitionID(p * 200), Conversation: parley.ConversationID{byte(c), byte(p)},
				Previous: rng.Uint64N(3), First: 1 + parley.Seq(rng.Uint64N(1000)),
			}}
			messages, size := 1+rng.IntN(30), 400
			switch rng.IntN(8) {
			case 0:
				messages = 300 + rng.IntN(300) // some blocks
			case 1:
				messages, size = 1+rng.IntN(4), 3*blockTarget // blocks of one message
			}
			for range messages {
				r.add(rng, rng.IntN(size))
			}
			runs = append(runs, r)
		}
	}
	return runs
}

// resum makes every checksum of damaged bytes right again, as a hostile writer
// would: what must then hold up is the reader's care, not its checksums.
func resum(b []byte) {
	if len(b) < headerSize+footerSize {
		return
	}
	binary.LittleEndian.PutUint32(b[12:], headerSum(b))
	foot := b[len(b)-footerSize:]
	id, start := binary.LittleEndian.Uint64(foot[24:]), binary.LittleEndian.Uint64(foot)
	copy(b[16:24], foot[24:32])
	binary.LittleEndian.PutUint32(b[12:], headerSum(b))
	if start > uint64(len(b)-footerSize) {
		return
	}
	index := b[start : len(b)-footerSize]
	for ; len(index) >= indexEntrySize; index = index[indexEntrySize:] {
		e := parseIndexEntry(index)
		if e.offset >= 0 && e.length >= blockHeaderSize && e.offset <= int64(len(b)-e.length) {
			block := b[e.offset : e.offset+int64(e.length)]
			binary.LittleEndian.PutUint32(block, blockSum(id, e.offset, block[4:]))
		}
	}
	binary.LittleEndian.PutUint32(foot[32:], crc32.Checksum(b[start:len(b)-footerSize+32], castagnoli))
}
