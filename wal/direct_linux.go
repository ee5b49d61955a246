package wal

import (
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// openDirect opens a file so that each write is on stable storage when it
// returns and passes by the page cache, whose pages would cost more CPU than
// the whole append. It reports false where the file system cannot do it.
func openDirect(name string) (vfs.File, bool) {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_DIRECT|syscall.O_DSYNC|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	buf, err := newBuffer(4096)
	if err != nil {
		_ = f.Close()
		return nil, false
	}
	defer freeBuffer(buf)
	// A device with larger sectors refuses 512 bytes at 512.
	if _, err := f.ReadAt(buf[:blockSize], blockSize); err != nil {
		_ = f.Close()
		return nil, false
	}
	return directFile{f}, true
}

// directFile is an *os.File whose writes are synced already.
type directFile struct{ *os.File }

func (f directFile) SyncData() error              { return nil }
func (f directFile) SyncTo(int64) (bool, error)   { return true, nil }
func (f directFile) Preallocate(_, _ int64) error { return nil }
func (f directFile) Prefetch(_, _ int64) error    { return nil }
func (f directFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return statInfo{info}, nil
}

type statInfo struct{ os.FileInfo }

func (statInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
