package engine

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
)

// The file INCARNATION, little-endian:
//
//	0            8         12    16            24      32
//	+------------+---------+-----+-------------+-------+-------+
//	| "PARLYINC" | version | crc | incarnation | inode | birth |
//	+------------+---------+-----+-------------+-------+-------+
//
// inode and birth (nanoseconds since 1970) are those of the file itself, as the
// file system gave them when it was made. A copy of the folder has a file with
// others, and so is known for a copy. Where the file system does not tell them
// both are 0, and only Options.Restored speaks.
const (
	incarnationFile    = "INCARNATION"
	incarnationMagic   = "PARLYINC"
	incarnationVersion = 1
	incarnationSize    = 40
)

type fileIdentity struct{ inode, birth uint64 }

// openIncarnation reads the incarnation, or begins a new one in a new folder
// and in one that was put back from a copy.
func openIncarnation(fs vfs.FS, dir string, opts Options) (parley.Incarnation, error) {
	path := fs.PathJoin(dir, incarnationFile)
	b, err := readSmall(fs, path, incarnationSize)
	short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return newIncarnation(fs, dir)
	case err != nil && !short:
		return 0, err
	}
	if short || string(b[:8]) != incarnationMagic || binary.LittleEndian.Uint32(b[12:]) != incarnationSum(b) {
		return 0, fmt.Errorf("%w: %s cannot be read; if the folder was restored, remove that file", ErrCorrupt, path)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != incarnationVersion {
		return 0, fmt.Errorf("engine: %s has version %d, this program reads %d", path, v, incarnationVersion)
	}
	made := fileIdentity{binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])}
	if opts.Restored || made != identify(fs, path) {
		opts.Logger.Warn("the folder was put back from a copy: a new incarnation begins", "dir", dir)
		return newIncarnation(fs, dir)
	}
	return parley.Incarnation(binary.LittleEndian.Uint64(b[16:])), nil
}

// newIncarnation makes the file under another name, for its identity stays when
// it is renamed, and puts it in place at once.
func newIncarnation(fs vfs.FS, dir string) (parley.Incarnation, error) {
	path := fs.PathJoin(dir, incarnationFile)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	made := identify(fs, path+".new")
	var b [incarnationSize]byte
	copy(b[:], incarnationMagic)
	binary.LittleEndian.PutUint32(b[8:], incarnationVersion)
	if _, err := rand.Read(b[16:24]); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	binary.LittleEndian.PutUint64(b[24:], made.inode)
	binary.LittleEndian.PutUint64(b[32:], made.birth)
	binary.LittleEndian.PutUint32(b[12:], incarnationSum(b[:]))
	given := parley.Incarnation(binary.LittleEndian.Uint64(b[16:]))
	_, err = f.Write(b[:])
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return 0, err
	}
	return given, syncDir(fs, dir)
}

func incarnationSum(b []byte) uint32 {
	sum := crc32.Checksum(b[:12], castagnoli)
	return crc32.Update(sum, castagnoli, b[16:incarnationSize])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func readSmall(fs vfs.FS, path string, size int) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(f, b)
	return b, errors.Join(err, f.Close())
}
