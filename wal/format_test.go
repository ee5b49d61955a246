package wal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var update = flag.Bool("update", false, "write testdata anew")

// The golden file is number 7 and holds two frames, of records 41 to 43 and of
// record 44, and the empty one that ends a log closed in good order.
const (
	goldenNumber = 7
	goldenEpoch  = 0x0123456789abcdef
	goldenFirst  = LSN(41)
)

func goldenFrames() [][]string {
	return [][]string{
		{"first", "", strings.Repeat("over a block's end. ", 25)},
		{"fourth"},
		nil,
	}
}

// encodeFile builds a whole log file by the parts that the log uses.
func encodeFile(h fileHeader, first LSN, frames [][]string) []byte {
	b := make([]byte, h.size)
	h.put(b)
	h.put(b[len(b)-blockSize:])
	off := blockSize
	for _, f := range frames {
		off = alignUp(encodeFrame(b, off, h.epoch, first, f...))
		first += LSN(len(f))
	}
	return b
}

// encodeFrame puts a frame at off and returns where its records end.
func encodeFrame(b []byte, off int, epoch uint64, first LSN, bodies ...string) (end int) {
	end = off + frameHeaderSize
	for _, r := range batch(bodies...) {
		end = putRecord(b, end, &r)
	}
	putFrame(b[off:end], frameHeader{
		length: uint32(end - off - frameHeaderSize), count: uint32(len(bodies)), first: first, epoch: epoch,
	})
	return end
}

// dumpHex writes as `xxd` does, and leaves out lines of zeros: `xxd -r`
// gives the file back.
func dumpHex(b []byte) []byte {
	const width = 16
	var out bytes.Buffer
	for off := 0; off < len(b); off += width {
		line := b[off : off+width]
		if bytes.Equal(line, make([]byte, width)) && off+width < len(b) {
			continue
		}
		fmt.Fprintf(&out, "%08x:", off)
		for i := 0; i < width; i += 2 {
			fmt.Fprintf(&out, " %x", line[i:i+2])
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func parseHex(t testing.TB, dump []byte) []byte {
	t.Helper()
	var b []byte
	for lines := bufio.NewScanner(bytes.NewReader(dump)); lines.Scan(); {
		at, digits, _ := strings.Cut(lines.Text(), ":")
		off, err := hex.DecodeString(at)
		if err != nil {
			t.Fatal(err)
		}
		line, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, make([]byte, int(binary.BigEndian.Uint32(off))-len(b))...)
		b = append(b, line...)
	}
	return b
}

func golden(t testing.TB) []byte {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", "v1.wal.hex"))
	if err != nil {
		t.Fatal(err)
	}
	return parseHex(t, dump)
}

// The golden file is the format's promise: what was written once is read by
// every later program, and written the same.
func TestGolden(t *testing.T) {
	again := encodeFile(fileHeader{number: goldenNumber, epoch: goldenEpoch, size: fileSizeMin}, goldenFirst, goldenFrames())
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "v1.wal.hex"), dumpHex(again), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := golden(t)
	if !bytes.Equal(again, b) {
		t.Error("the same file is written otherwise")
	}

	fs := folder{fileName(goldenNumber): b}.disk(t)
	var got collected
	next, torn, err := Scan(fs, testDir, goldenFirst, got.group)
	if err != nil || torn != "" || next != goldenFirst+4 {
		t.Fatalf("next %d, torn %q, %v", next, torn, err)
	}
	var due []string
	for _, f := range goldenFrames() {
		due = append(due, f...)
	}
	if err := got.differ(goldenFirst, due); err != nil {
		t.Error(err)
	}
	if len(got.groups) != 2 || got.groups[1] != (place{44, 1, goldenNumber, 3*blockSize + frameHeaderSize}) {
		t.Errorf("groups %+v", got.groups)
	}
}

// What a log writes is what the golden file's encoder writes: only the epoch
// is its own.
func TestLogWritesTheGoldenFormat(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs, Options{})
	for _, f := range goldenFrames()[:2] {
		write(t, l, f...)
	}
	epoch := l.current.epoch
	closeLog(t, l)
	want := encodeFile(fileHeader{number: 1, epoch: epoch, size: fileSizeMin}, 1, goldenFrames())
	if got := readFolder(t, fs)[fileName(1)]; !bytes.Equal(got, want) {
		t.Errorf("the log wrote\n%s, want\n%s", dumpHex(got), dumpHex(want))
	}
}

// A file of another version is refused by its version, and not called corrupt.
func TestUnknownVersion(t *testing.T) {
	b := golden(t)
	for _, block := range [][]byte{b[:blockSize], b[len(b)-blockSize:]} {
		binary.LittleEndian.PutUint32(block[8:], formatVersion+1)
		binary.LittleEndian.PutUint32(block[12:], headerSum(block))
	}
	fs := folder{fileName(goldenNumber): b}.disk(t)
	if _, _, err := Scan(fs, testDir, goldenFirst, nil); !errors.Is(err, ErrVersion) {
		t.Errorf("scan: %v, want ErrVersion", err)
	}
	if _, err := Open(fs, testDir, small(Options{From: goldenFirst})); !errors.Is(err, ErrVersion) {
		t.Errorf("open: %v, want ErrVersion", err)
	}
	if after := readFolder(t, fs); !after.equal(folder{fileName(goldenNumber): b}) {
		t.Error("the refused folder was changed")
	}
}

// Only names that the log itself would give are its files.
func TestFileNames(t *testing.T) {
	for name, want := range map[string]uint64{
		"000000000001.wal": 1, "123456789012.wal": 123456789012, "1234567890123.wal": 1234567890123,
		"1.wal": 0, "000000000000.wal": 0, "0000000000001.wal": 0, "+00000000001.wal": 0, "000000000001.wal~": 0, "LOCK": 0,
	} {
		if got, ok := parseFileName(name); ok != (want > 0) || ok && got != want {
			t.Errorf("%q is file %d, %v; want %d", name, got, ok, want)
		}
	}
}

// Parsing never panics; a whole frame, written again, is the same bytes; and
// its records lie within it.
func FuzzParseFrame(f *testing.F) {
	b := golden(f)
	f.Add(b[blockSize:4*blockSize], uint64(goldenEpoch))
	f.Add(b[3*blockSize:4*blockSize], uint64(goldenEpoch))
	f.Add(b[4*blockSize:5*blockSize], uint64(goldenEpoch))
	f.Add(b[:blockSize], uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, epoch uint64) {
		checkFrame(t, b, epoch)
		if len(b) < frameHeaderSize {
			return
		}
		// The checksum would keep the fuzzer from ever coming further.
		sealed := bytes.Clone(b)
		putFrame(sealed, frameHeader{
			length: uint32(len(b) - frameHeaderSize), count: binary.LittleEndian.Uint32(b[12:]),
			first: LSN(binary.LittleEndian.Uint64(b[16:])), epoch: epoch,
		})
		checkFrame(t, sealed, epoch)
	})
}

func checkFrame(t *testing.T, b []byte, epoch uint64) {
	h, whole := parseFrame(b, epoch)
	if !whole {
		return
	}
	end := frameHeaderSize + int(h.length)
	again := make([]byte, end)
	copy(again[frameHeaderSize:], b[frameHeaderSize:end])
	putFrame(again, h)
	if !bytes.Equal(again, b[:end]) {
		t.Errorf("written again as %x, want %x", again, b[:end])
	}
	size, count := 0, 0
	for _, r := range (Group{First: h.first, Count: int(h.count), Buffer: b[:end], Offset: frameHeaderSize}).Records() {
		size += recordHeaderSize + len(r)
		count++
	}
	if size != int(h.length) || count != int(h.count) {
		t.Errorf("%d records of %d bytes, want %d of %d", count, size, h.count, h.length)
	}
}
