package wal

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
)

// LSN is the position of a record in the log: 1, 2, 3, without a gap.
type LSN uint64

// A log file, little-endian, in units of 512 bytes:
//
//	+--------+-------+-------+-----+-------+----------+--------+
//	| header | frame | frame | ... | frame | (unused) | header |
//	+--------+-------+-------+-----+-------+----------+--------+
//
// The header stands in the first and, as a second copy, in the last 512 bytes:
//
//	0            8         12    16       24      32     40
//	+------------+---------+-----+--------+-------+------+
//	| "PARLYWAL" | version | crc | number | epoch | size |
//	+------------+---------+-----+--------+-------+------+
//
// crc is CRC-32C of the 512 bytes without the crc itself. number is the
// file's, as in its name; a header with another number is that of a former
// use, and the file counts as empty. size is that of the whole file, in bytes.
const (
	blockSize     = 512
	fileMagic     = "PARLYWAL"
	formatVersion = 1
)

// A frame starts at a multiple of 512 bytes and is padded to one with zeros:
//
//	0       4       8        12      16          24      32
//	+-------+-------+--------+-------+-----------+-------+---------+
//	| magic | crc   | length | count | first LSN | epoch | records |
//	+-------+-------+--------+-------+-----------+-------+---------+
//
// crc is CRC-32C of everything after it up to the end of the records; length
// is that of the records in bytes. Each record is its length in 4 bytes and its
// bytes. A frame of no records ends a log that was closed in good order; its
// first LSN is the next one that would have been given.
const (
	frameHeaderSize  = 32
	frameMagic       = 0x31465750 // "PWF1"
	recordHeaderSize = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type fileHeader struct {
	number uint64
	epoch  uint64
	size   uint64
}

func (h fileHeader) put(b []byte) {
	clear(b[:blockSize])
	copy(b, fileMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.epoch)
	binary.LittleEndian.PutUint64(b[32:], h.size)
	binary.LittleEndian.PutUint32(b[12:], headerSum(b))
}

func headerSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[16:blockSize])
}

// parseFileHeader reports false for bytes that are no header; version is then
// meaningless.
func parseFileHeader(b []byte) (h fileHeader, version uint32, ok bool) {
	if len(b) < blockSize || string(b[:8]) != fileMagic ||
		binary.LittleEndian.Uint32(b[12:]) != headerSum(b) {
		return h, 0, false
	}
	h.number = binary.LittleEndian.Uint64(b[16:])
	h.epoch = binary.LittleEndian.Uint64(b[24:])
	h.size = binary.LittleEndian.Uint64(b[32:])
	return h, binary.LittleEndian.Uint32(b[8:]), true
}

type frameHeader struct {
	length uint32
	count  uint32
	first  LSN
	epoch  uint64
}

// putFrame completes the frame whose records stand in b behind the room for
// the header. len(b) is that of header and records.
func putFrame(b []byte, h frameHeader) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], h.count)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.first))
	binary.LittleEndian.PutUint64(b[24:], h.epoch)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

// parseFrame reads the frame at the start of b, which may be anything. It is
// whole only if the checksum holds, the epoch is the file's, and the records
// fill the length exactly.
func parseFrame(b []byte, epoch uint64) (h frameHeader, ok bool) {
	if !bearsEpoch(b, epoch) {
		return h, false
	}
	h = frameHeader{
		length: binary.LittleEndian.Uint32(b[8:]),
		count:  binary.LittleEndian.Uint32(b[12:]),
		first:  LSN(binary.LittleEndian.Uint64(b[16:])),
		epoch:  epoch,
	}
	end := uint64(frameHeaderSize) + uint64(h.length)
	if end > uint64(len(b)) || binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:end], castagnoli) {
		return h, false
	}
	return h, recordsFill(b[frameHeaderSize:end], h.count)
}

// bearsEpoch reports whether a frame of this use of the file was begun here,
// whole or not. Strangers choose bodies but never learn an epoch.
func bearsEpoch(b []byte, epoch uint64) bool {
	return len(b) >= frameHeaderSize && binary.LittleEndian.Uint32(b) == frameMagic &&
		binary.LittleEndian.Uint64(b[24:]) == epoch
}

func recordsFill(b []byte, count uint32) bool {
	for range count {
		if len(b) < recordHeaderSize {
			return false
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-recordHeaderSize) {
			return false
		}
		b = b[recordHeaderSize+n:]
	}
	return len(b) == 0
}

func alignUp(n int) int { return (n + blockSize - 1) &^ (blockSize - 1) }

const fileSuffix = ".wal"

func fileName(number uint64) string {
	digits := strconv.FormatUint(number, 10)
	return strings.Repeat("0", max(0, 12-len(digits))) + digits + fileSuffix
}

// parseFileName reports false for a name that fileName would not give.
func parseFileName(name string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0 && fileName(number) == name
}
