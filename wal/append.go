package wal

import "encoding/binary"

// putRecord writes a record at off and returns where it ends.
func putRecord(buffer []byte, off int, r *Record) int {
	binary.LittleEndian.PutUint32(buffer[off:], uint32(len(r.Head)+len(r.Body)))
	off += recordHeaderSize
	off += copy(buffer[off:], r.Head)
	return off + copy(buffer[off:], r.Body)
}
