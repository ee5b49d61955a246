package engine

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// identify tells what no copy of a file has in common with it. It is zero where
// the file system does not say.
func identify(fs vfs.FS, path string) fileIdentity {
	if fs != vfs.Default {
		return fileIdentity{}
	}
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &x); err != nil {
		return fileIdentity{}
	}
	if x.Mask&unix.STATX_BTIME == 0 {
		return fileIdentity{}
	}
	return fileIdentity{inode: x.Ino, birth: uint64(x.Btime.Sec)*1e9 + uint64(x.Btime.Nsec)}
}
