package verify_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/verify"
)

func TestSoundFolder(t *testing.T) {
	x := newSound(t)
	r, err := verify.Folder(x.copy(), dir)
	if err != nil || len(r.Flaws) > 0 {
		t.Fatalf("%v, %q", err, r.Flaws)
	}
	if r.Segments < 2 || r.Replayed == 0 || r.Messages == 0 || len(r.Model.Conversations) != 2 || len(r.Model.Users) != 4 || r.Torn != "" {
		t.Fatalf("%+v", r)
	}
	if conv := r.Model.Conversations[x.direct]; len(conv.Messages) != 60 || conv.CountUnread(x.users[1].User) != 15 {
		t.Errorf("%d messages, %d unread", len(conv.Messages), conv.CountUnread(x.users[1].User))
	}
}

// A row's value: last (8), segment (8), row; and where the fields of a
// conversation's row without a title stand.
const rowAt = 16

// Each kind of damage is named.
func TestDamageIsNamed(t *testing.T) {
	x := newSound(t)
	tableOf := func(table byte) func(key []byte) bool { return func(k []byte) bool { return k[3] == table } }
	row := func(table byte, change func(v []byte) []byte) func(*testing.T, vfs.FS) {
		is := tableOf(table)
		return func(t *testing.T, fs vfs.FS) {
			edit(t, fs, "r", func(k, v []byte) ([]byte, bool) {
				if !is(k) {
					return nil, false
				}
				return change(v), true
			})
		}
	}
	direct := func(change func(v []byte) []byte) func(*testing.T, vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			edit(t, fs, "r", func(k, v []byte) ([]byte, bool) {
				if k[3] != 1 || !bytes.Equal(k[4:20], x.direct[:]) {
					return nil, false
				}
				return change(v), true
			})
		}
	}
	// Of a direct conversation: row version, tenant, kind, empty title, created,
	// changed, hour, ordinal, version, count; then the first member.
	const ordinalAt = rowAt + 1 + 4 + 1 + 1 + 8 + 8 + 4
	const memberAt = ordinalAt + 8 + 8 + 2
	add := func(at, n int) func(v []byte) []byte {
		return func(v []byte) []byte {
			binary.LittleEndian.PutUint64(v[at:], binary.LittleEndian.Uint64(v[at:])+uint64(n))
			return v
		}
	}
	gone := func([]byte) []byte { return nil }
	first := func(folder, suffix string, change func([]byte) []byte) func(*testing.T, vfs.FS) {
		return func(t *testing.T, fs vfs.FS) { file(t, fs, files(t, fs, folder, suffix)[0], change) }
	}
	value := func(prefix string, change func(v []byte) []byte) func(*testing.T, vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			edit(t, fs, prefix, func(_, v []byte) ([]byte, bool) { return change(v), true })
		}
	}
	for _, c := range []struct {
		what   string
		damage func(*testing.T, vfs.FS)
		named  string
	}{
		{"a segment is gone", first("segments", "", gone), "segment 0"},
		{"a segment is cut short", first("segments", "", func(b []byte) []byte { return b[:len(b)-40] }), "segment 0"},
		{"a bit of a segment is flipped", first("segments", "", func(b []byte) []byte { b[len(b)/3] ^= 1; return b }), "segment 0"},
		{"a segment is another's", func(t *testing.T, fs vfs.FS) {
			paths := files(t, fs, "segments", "")
			file(t, fs, paths[0], func([]byte) []byte { return read(t, fs, paths[1]) })
		}, "the catalogue says"},
		{"a segment is not named", value("s", gone), "no beginning"},
		{"a segment is named larger", value("s", add(0, 1)), "the catalogue says"},
		{"a segment's line is short", value("s", func(v []byte) []byte { return v[:20] }), "segment line of 8 and 20 bytes"},

		{"the log is gone", func(t *testing.T, fs vfs.FS) {
			for _, path := range files(t, fs, "wal", ".wal") {
				file(t, fs, path, gone)
			}
		}, "before the cut"},
		{"the log ends before the cut", value("c", add(0, 10_000)), "before the cut"},
		{"a bit of the log is flipped", flipLog, "log:"},
		{"the cut's indexes are lower", value("c", func(v []byte) []byte {
			for at := 8; at < len(v); at += 16 {
				if v[at] > 0 {
					v[at]--
				}
			}
			return v
		}), "was due"},
		{"the cut is short", value("c", func(v []byte) []byte { return v[:9] }), "cut of 9 bytes"},

		{"a row is gone", direct(gone), "no beginning"},
		{"a group's row is gone", func(t *testing.T, fs vfs.FS) {
			edit(t, fs, "r", func(k, _ []byte) ([]byte, bool) { return nil, bytes.Equal(k[4:20], x.group[:]) })
		}, "no row"},
		{"a row is short", row(1, func(v []byte) []byte { return v[:40] }), "left over"},
		{"a row is long", row(1, func(v []byte) []byte { return append(v, 0) }), "left over"},
		{"a row is of another version", row(1, func(v []byte) []byte { v[rowAt] = 9; return v }), "version 9"},
		{"a row is of another partition", func(t *testing.T, fs vfs.FS) {
			catalogue(t, fs, func(db *pebble.DB) {
				key := append([]byte{'r', 0, 0, 1}, make([]byte, 32)...)
				copy(key[4:], x.direct[:])
				for p := range byte(4) {
					key[2] = p
					if v, closer, err := db.Get(key); err == nil {
						v = slices.Clone(v)
						_ = closer.Close()
						_ = db.Delete(key, pebble.Sync)
						key[2] = (p + 1) % 4
						_ = db.Set(key, v, pebble.Sync)
						return
					}
				}
				t.Fatal("no row")
			})
		}, "stands in partition"},
		{"a row of an unknown table", func(t *testing.T, fs vfs.FS) {
			catalogue(t, fs, func(db *pebble.DB) {
				_ = db.Set(append([]byte{'r', 0, 0, 77}, make([]byte, 32)...), []byte{1}, pebble.Sync)
			})
		}, "table 77"},
		{"the last sequence is higher", direct(add(0, 1)), "row says last"},
		{"the segment is another", direct(add(8, 1)), "row says segment"},
		{"the ordinal is higher", direct(add(ordinalAt, 1)), "row says ordinal"},
		{"a member is another", direct(func(v []byte) []byte { v[memberAt+3] ^= 1; return v }), "is not the one between its two members"},
		{"a role is another", direct(func(v []byte) []byte { v[memberAt+16] = 3; return v }), "row says role"},
		{"a read mark is lower", direct(lowerRead(memberAt, x)), "row says ordinal at read"},
		{"a read mark is beyond the last", direct(add(memberAt+34, 1000)), "beyond the last message"},
		{"a fact of a mark is higher", direct(add(memberAt+42, 1)), "row says ordinal at read"},
		{"own is lower", direct(add(memberAt+58, -1)), "row says own"},
		{"an own message is another", direct(add(memberAt+66, -1)), "row says last own"},
		{"an interval begins later", direct(add(memberAt+83, 1)), "row says intervals"},
		{"a stream's number is higher", direct(func(v []byte) []byte { v[memberAt+99+5+8]++; return v }), "row says streams"},

		{"a subject's row is gone", row(3, gone), "no subject's row leads to user"},
		{"a subject leads elsewhere", row(3, func(v []byte) []byte { v[rowAt+1] ^= 1; return v }), "who has no row"},
		{"a user's row is gone", row(4, gone), "who has no row"},
		{"a user has another subject", row(4, func(v []byte) []byte { v[len(v)-1] ^= 1; return v }), "whose subject is another"},
		{"a user's row is short", row(4, func(v []byte) []byte { return v[:len(v)-1] }), "left over"},
		{"settings are short", row(2, func(v []byte) []byte { return v[:len(v)-1] }), "left over"},

		{"a line of a list is gone", value("u", gone), "is not in the list of"},
		{"a line of a list says left", value("u", func(v []byte) []byte { v[4] ^= 1; return v }), "says left="},
		{"a line of a list is short", value("u", func(v []byte) []byte { return v[:3] }), "list line of 32 and 3 bytes"},
		{"a line of a list is a stranger's", func(t *testing.T, fs vfs.FS) {
			catalogue(t, fs, func(db *pebble.DB) {
				key := append([]byte("u"), bytes.Repeat([]byte{9}, 16)...)
				_ = db.Set(append(key, x.group[:]...), make([]byte, 5), pebble.Sync)
			})
		}, "where he never was"},

		{"the store's record is of another format", value("m", func(v []byte) []byte { v[0] = 9; return v }), "format unknown"},
		{"the store says no partitions", value("m", func(v []byte) []byte { clear(v[4:]); return v }), "0 partitions"},
		{"the store says too many", value("m", func(v []byte) []byte { v[7] = 0xff; return v }), "partitions"},
		{"the store has more partitions", value("m", func(v []byte) []byte { v[4]++; return v }), "cut of"},
		{"the catalogue's manifest is gone", func(t *testing.T, fs vfs.FS) {
			for _, path := range files(t, fs, "catalogue", "") {
				if strings.Contains(path, "MANIFEST") {
					file(t, fs, path, gone)
				}
			}
		}, "catalogue"},
	} {
		t.Run(c.what, func(t *testing.T) {
			fs := x.copy()
			c.damage(t, fs)
			got := judge(fs)
			if !strings.Contains(got, c.named) {
				t.Errorf("named %q, want %q", got, c.named)
			}
		})
	}
}

// lowerRead lowers the read mark of the member who reads.
func lowerRead(memberAt int, x *sound) func(v []byte) []byte {
	return func(v []byte) []byte {
		at := memberAt
		if !bytes.Equal(v[at:at+16], x.users[1].User[:]) { // he is the second
			at += memberSize(v[at:])
		}
		v[at+34]--
		return v
	}
}

// memberSize is the size of a member in a row: its fields, intervals and
// streams.
func memberSize(b []byte) int {
	n := 82
	n += 1 + 16*int(b[n])
	return n + 4 + 1 + 24*int(b[n+4])
}

// flipLog flips a bit in a frame that two others follow: it was durable, so it is
// not the torn end of the log.
func flipLog(t *testing.T, fs vfs.FS) {
	for _, path := range slices.Backward(files(t, fs, "wal", ".wal")) {
		var frames []int // each begins with its magic at a multiple of 512 bytes
		b := read(t, fs, path)
		for at := 512; at+4 <= len(b); at += 512 {
			if string(b[at:at+4]) == "PWF1" {
				frames = append(frames, at)
			}
		}
		if n := len(frames); n >= 3 {
			file(t, fs, path, func(b []byte) []byte { b[frames[n-3]+40] ^= 1; return b })
			return
		}
	}
	t.Fatal("no log file holds three frames")
}

// Records that never stood in a log of the server's are named too.
func TestForgedRecordsAreNamed(t *testing.T) {
	// A second history: the folder as its log would be if a mark had lied.
	x := newSound(t)
	e, err := engine.Open(x.disk, dir, liar{}, engine.Options{HeadSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	mark := append(append([]byte(nil), x.direct[:]...), x.users[0].User[:]...)
	for _, v := range []uint64{0, 12, 11, 3} { // delivered, read, ordinal, own
		mark = binary.LittleEndian.AppendUint64(mark, v)
	}
	p := e.Partition(parley.DefaultTenant, x.direct)
	if _, err := e.AppendWait(t.Context(), engine.Command{Partition: p, Kind: 8, Version: 1, Body: mark}); err != nil {
		t.Fatal(err)
	}
	left := x.disk.CrashClone(vfs.CrashCloneCfg{})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := judge(left); !strings.Contains(got, "says 11 counting, 3 own; there are 12 and 6") {
		t.Errorf("named %q", got)
	}
}

// liar is a machine that applies nothing.
type liar struct{}

func (liar) Apply(*engine.Tx, *engine.Command) engine.Result { return engine.Result{} }

func (liar) DecodeRow(_ engine.Key, b []byte) (engine.Row, error) {
	return opaque(slices.Clone(b)), nil
}

type opaque []byte

func (o opaque) AppendTo(b []byte) []byte { return append(b, o...) }

// Whatever the bytes are, there is a report or an error. PARLEY_SEEDS is how
// many folders are damaged at random.
func TestRandomDamage(t *testing.T) {
	x := newSound(t)
	n := 60
	if s := os.Getenv("PARLEY_SEEDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	silent := 0
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 0))
		fs := x.copy()
		what := randomDamage(t, rng, fs)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Fatalf("seed %d, %s: panic: %v", seed, what, p)
				}
			}()
			if judge(fs) == "" {
				silent++ // padding, or what the log's end would also look like
			}
		}()
	}
	t.Logf("%d of %d damaged folders are sound all the same", silent, n)
}

// randomDamage changes bytes of a file, or of a value of the catalogue, where no
// checksum would tell.
func randomDamage(t *testing.T, rng *rand.Rand, fs vfs.FS) (what string) {
	scramble := func(b []byte) []byte {
		switch rng.IntN(4) {
		case 0:
			return b[:rng.IntN(len(b)+1)]
		case 1:
			return append(b, byte(rng.Uint32()), byte(rng.Uint32()))
		}
		for range 1 + rng.IntN(4) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
		}
		return b
	}
	if rng.IntN(3) == 0 {
		var paths []string
		for _, folder := range []string{"wal", "segments", "catalogue"} {
			paths = append(paths, files(t, fs, folder, "")...)
		}
		path := paths[rng.IntN(len(paths))]
		file(t, fs, path, scramble)
		return path
	}
	n, seen := rng.IntN(40), 0
	prefix := string("rrrusmc"[rng.IntN(7)])
	catalogue(t, fs, func(db *pebble.DB) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte{prefix[0] + 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = it.Close() }()
		for ok := it.First(); ok; ok = it.Next() {
			if seen++; seen < n && it.Next() {
				it.Prev()
				continue
			}
			key, value := slices.Clone(it.Key()), slices.Clone(it.Value())
			_ = db.Set(key, scramble(value), pebble.Sync)
			what = fmt.Sprintf("%x", key)
			return
		}
	})
	return what
}
