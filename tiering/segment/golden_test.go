package segment

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/parleychat/parley"
)

var update = flag.Bool("update", false, "write testdata anew")

// goldenRuns is what testdata/v1.seg holds: two partitions, a run without a
// segment before it, and one that goes on in a second block.
func goldenRuns() []testRun {
	long := bytes.Repeat([]byte("a long message. "), blockTarget/16)
	return []testRun{
		{
			Run: Run{Partition: 2, Conversation: parley.ConversationID{0: 0xaa, 15: 1}, First: 1},
			messages: []Message{
				{Seq: 1, Index: 10, Ordinal: 0, Record: []byte("first")},
				{Seq: 2, Index: 12, Ordinal: 1, Record: nil},
			},
		},
		{
			Run: Run{Partition: 2, Conversation: parley.ConversationID{0: 0xaa, 15: 2}, Previous: 4, First: 1001},
			messages: []Message{
				{Seq: 1001, Index: 11, Ordinal: 800, Record: long},
				{Seq: 1002, Index: 13, Ordinal: 801, Record: []byte("in the second block")},
			},
		},
		{
			Run: Run{Partition: 255, Conversation: parley.ConversationID{0: 1}, Previous: 6, First: 7},
			messages: []Message{
				{Seq: 7, Index: 1 << 40, Ordinal: 7, Record: []byte("last")},
			},
		},
	}
}

// The golden file is the format's promise: what was written once is read by
// every later program, and written the same.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1.seg")
	if *update {
		if err := os.WriteFile(path, encode(t, 7, goldenRuns()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openBytes(t, golden)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if want := (Info{ID: 7, Size: int64(len(golden)), Messages: 5, Runs: 3}); r.Info() != want {
		t.Errorf("info %+v, want %+v", r.Info(), want)
	}
	if len(r.index) != 2 {
		t.Errorf("%d blocks, want 2", len(r.index))
	}
	runs, err := readRuns(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := differ(runs, goldenRuns()); err != nil {
		t.Error(err)
	}
	if again := encode(t, r.Info().ID, runs); !bytes.Equal(again, golden) {
		t.Error("what was read is written otherwise")
	}
}
