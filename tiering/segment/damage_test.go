package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parleychat/parley"
)

// readBytes opens bytes and reads all that is in them.
func readBytes(t testing.TB, b []byte) ([]testRun, error) {
	t.Helper()
	r, err := openBytes(t, b)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return readRuns(r)
}

// No byte of a segment is without a checksum: one bit anywhere, and it is
// ErrCorrupt and nothing else.
func TestEveryFlippedBitIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for _, s := range []struct {
		name   string
		bytes  []byte
		stride int
	}{
		{"empty", encode(t, 5, nil), 1},
		{"small", encode(t, 5, small(rng)), 1},
		{"medium", encode(t, 5, medium(rng)), 171},
	} {
		for at := 0; at < len(s.bytes); at += s.stride {
			bit := byte(1) << rng.IntN(8)
			s.bytes[at] ^= bit
			if _, err := readBytes(t, s.bytes); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: bit %#x of byte %d of %d: %v, want ErrCorrupt", s.name, bit, at, len(s.bytes), err)
			}
			s.bytes[at] ^= bit
		}
	}
}

func TestTruncated(t *testing.T) {
	b := encode(t, 5, medium(rand.New(rand.NewPCG(3, 1))))
	for n := 0; n < len(b); n += 64 {
		if _, err := openBytes(t, b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v, want ErrCorrupt", n, len(b), err)
		}
	}
	if _, err := openBytes(t, b[:len(b)-1]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("all but one byte: %v, want ErrCorrupt", err)
	}
}

// A block is right only at its own place in its own segment.
func TestBlockAtAWrongPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	run := testRun{Run: Run{First: 1}}
	for range 200 {
		run.add(rng, 1000)
	}
	one, other := encode(t, 1, []testRun{run}), encode(t, 2, []testRun{run})
	r, err := openBytes(t, one)
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.index[1], r.index[2]
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if a.length != b.length {
		t.Fatalf("blocks of %d and %d bytes", a.length, b.length)
	}
	for name, from := range map[string][]byte{
		"another place":   one[b.offset:][:b.length],
		"another segment": other[a.offset:][:a.length],
	} {
		moved := slices.Clone(one)
		copy(moved[a.offset:], from)
		if _, err := readBytes(t, moved); !errors.Is(err, ErrCorrupt) {
			t.Errorf("block from %s: %v, want ErrCorrupt", name, err)
		}
	}
}

// What a later program may write, and this one cannot read, is refused by name
// and never guessed at. So is what contradicts itself under right checksums.
func TestRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	good := encode(t, 5, small(rng))
	entry := len(good) - footerSize - indexEntrySize
	foot := len(good) - footerSize
	for _, c := range []struct {
		what string
		hurt func(b []byte)
		word string
	}{
		{"a version", func(b []byte) { b[8] = 2 }, "format version 2, this program reads 1"},
		{"a codec", func(b []byte) { b[headerSize+8] = 1 }, "unknown codec 1"},
		{"a key", func(b []byte) { b[headerSize+12] = 1 }, "encrypted with key 1"},
		{"blocks beyond the file", func(b []byte) { binary.LittleEndian.PutUint32(b[foot+8:], math.MaxUint32) }, "footer of 4294967295 blocks"},
		{"an index before the header", func(b []byte) { binary.LittleEndian.PutUint64(b[foot:], 0) }, "does not fit"},
		{"an index at a negative place", func(b []byte) { binary.LittleEndian.PutUint64(b[foot:], math.MaxUint64) }, "does not fit"},
		{"a block at a negative place", func(b []byte) { binary.LittleEndian.PutUint64(b[entry+28:], 1<<63+24) }, "was due"},
		{"a block beyond the file", func(b []byte) { binary.LittleEndian.PutUint64(b[entry+28:], 1<<40) }, "was due"},
		{"a block longer than the file", func(b []byte) { binary.LittleEndian.PutUint32(b[entry+36:], blockMax) }, "was due"},
		{"a block shorter than its header", func(b []byte) { binary.LittleEndian.PutUint32(b[entry+36:], 3) }, "was due"},
		{"a block that runs into the index", func(b []byte) { b[entry+36]++ }, "was due"},
		{"a gap before the index", func(b []byte) { b[entry+36]-- }, "blocks end 1 bytes before the index"},
		{"a piece of too many messages", func(b []byte) { binary.LittleEndian.PutUint32(b[headerSize+blockHeaderSize+36:], math.MaxUint32) }, "does not fit"},
		{"a message longer than its block", func(b []byte) {
			binary.LittleEndian.PutUint32(b[headerSize+blockHeaderSize+pieceHeaderSize:], math.MaxUint32)
		}, "does not fit"},
	} {
		b := slices.Clone(good)
		c.hurt(b)
		resum(b)
		_, err := readBytes(t, b)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, want ErrCorrupt with %q", c.what, err, c.word)
		}
	}
	// The id stands twice, so that a header can be held against its footer.
	b := slices.Clone(good)
	b[16]++
	binary.LittleEndian.PutUint32(b[12:], headerSum(b))
	if _, err := readBytes(t, b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two ids: %v, want ErrCorrupt", err)
	}
}

// readHostile reads bytes in every way, whatever they are. It reports how much
// was allocated by Open and by the reading, apart from openBytes' own copies.
func readHostile(t testing.TB, b []byte) (allocated uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	defer func() {
		runtime.ReadMemStats(&after)
		allocated = after.TotalAlloc - before.TotalAlloc
	}()
	r, err := openBytes(t, b)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	for _, err := range r.All() {
		if err != nil {
			return 0, err
		}
	}
	keys := []indexEntry{{}, {partition: math.MaxUint16}}
	if n := len(r.index); n > 0 {
		keys = append(keys, r.index[0], r.index[n-1])
	}
	for _, k := range keys {
		if _, _, err := r.Run(k.partition, k.conversation); err != nil {
			return 0, err
		}
		for _, err := range r.Messages(k.partition, k.conversation, parley.SeqRange{From: k.first, To: math.MaxUint64}) {
			if err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// allocationMax is what reading so many bytes may allocate in all: some copies
// of the file, and a buffer of two blocks for each of the ways to read.
func allocationMax(size int) uint64 { return 16*uint64(size) + 1<<20 }

// A footer of many tiny blocks costs no more than the file is long.
func TestHostileIndexIsBounded(t *testing.T) {
	const blocks = 4000
	b := encode(t, 5, nil)[:headerSize]
	for range blocks {
		b = append(b, make([]byte, blockHeaderSize)...)
	}
	start := len(b)
	for i := range blocks {
		b = appendIndexEntry(b, indexEntry{offset: int64(headerSize + i*blockHeaderSize), length: blockHeaderSize})
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(start))
	b = binary.LittleEndian.AppendUint32(b, blocks)
	b = append(b, make([]byte, footerSize-12-8)...)
	b = append(b, footMagic...)
	resum(b)
	allocated, err := readHostile(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if most := allocationMax(len(b)); allocated > most {
		t.Errorf("%d bytes allocated for a file of %d, want at most %d", allocated, len(b), most)
	}
}

func FuzzOpen(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 1))
	f.Add([]byte{})
	f.Add(encode(f, 1, nil))
	f.Add(encode(f, 2, small(rng)))
	long := testRun{Run: Run{Partition: 9, Conversation: parley.ConversationID{9}, First: 5}}
	for range 3 {
		long.add(rng, blockTarget/2)
	}
	f.Add(encode(f, 3, []testRun{long}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, made := range []string{"as it is", "with right checksums"} {
			allocated, err := readHostile(t, b)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v, want ErrCorrupt", made, err)
			}
			if most := allocationMax(len(b)); allocated > most {
				t.Errorf("%s: %d bytes allocated for a file of %d, want at most %d", made, allocated, len(b), most)
			}
			b = slices.Clone(b)
			resum(b)
		}
	})
}

func TestErrorsNameThePlace(t *testing.T) {
	b := encode(t, 5, small(rand.New(rand.NewPCG(8, 1))))
	b[headerSize+40] ^= 1
	_, err := readBytes(t, b)
	e, ok := errors.AsType[*CorruptError](err)
	if !ok || e.File != "s" || e.Offset != headerSize {
		t.Errorf("%v, want the block at s:%d", err, headerSize)
	}
	if want := fmt.Sprintf("segment: bad block at s:%d", headerSize); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
