//go:build linux && !race

package wal

import "syscall"

// newBuffer gives page-aligned, zeroed memory outside the heap: O_DIRECT needs
// the alignment, and the collector has nothing to scan or to copy.
func newBuffer(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func freeBuffer(b []byte) {
	if len(b) > 0 {
		_ = syscall.Munmap(b)
	}
}
