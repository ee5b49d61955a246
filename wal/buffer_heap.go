//go:build !linux || race

package wal

import "unsafe"

const pageSize = 4096

// newBuffer gives page-aligned, zeroed memory. The race detector watches the
// heap alone, so under it the buffers live there too.
func newBuffer(size int) ([]byte, error) {
	b := make([]byte, size+pageSize)
	off := int(-uintptr(unsafe.Pointer(&b[0])) & (pageSize - 1))
	return b[off : off+size : off+size], nil
}

func freeBuffer([]byte) {}
