package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/internal/mutant"
)

// file is one file of the log with the buffer that mirrors it.
type file struct {
	number uint64
	name   string
	epoch  uint64
	size   int // on disk
	limit  int // where frames must end

	handle vfs.File
	buffer []byte
	last   LSN // of the newest sealed frame; 0 when it holds none
}

// writeAt writes and syncs.
func (f *file) writeAt(b []byte, off int64) error {
	if _, err := f.handle.WriteAt(b, off); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	if err := f.handle.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", f.name, err)
	}
	return nil
}

func (f *file) close() {
	if f.handle != nil {
		// Every byte that counts was synced by its own write.
		_ = f.handle.Close()
		f.handle = nil
	}
}

// prepareLoop keeps one empty file ready, so that no append waits for one.
func (l *Log) prepareLoop() {
	for {
		select {
		case <-l.stop:
			return
		case <-l.prepare:
		}
		for !l.prepareNext() {
			// A full disk, most likely: nothing that was acknowledged is in
			// danger, appends are refused, and room may come.
			select {
			case <-l.stop:
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// prepareNext reports false when it should be tried again.
func (l *Log) prepareNext() bool {
	l.dropExcess()
	l.mu.Lock()
	if l.next != nil || l.err != nil || len(l.free) == 0 && l.files() >= l.opts.FilesMax {
		l.mu.Unlock()
		return true // Trim or Close will say when there is more to do
	}
	var old *file
	if len(l.free) > 0 {
		old = l.free[0]
		l.free = l.free[1:]
	}
	l.number++
	number := l.number
	buffer := l.takeBuffer(old)
	l.mu.Unlock()

	f, err := l.newFile(number, old, buffer)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.opts.Logger.Warn("no further log file", "dir", l.dir, "err", err)
		l.takeBack(number, old)
		return false
	}
	l.next = f
	return true
}

// takeBack leaves no file behind that could not be begun, for it is counted no
// longer: each further try would add one.
func (l *Log) takeBack(number uint64, old *file) {
	if old != nil {
		if _, err := l.fs.Stat(l.fs.PathJoin(l.dir, old.name)); err == nil {
			l.free = append([]*file{old}, l.free...)
		}
	}
	if err := l.fs.Remove(l.fs.PathJoin(l.dir, fileName(number))); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.opts.Logger.Warn("log file stays", "file", fileName(number), "err", err)
	}
}

// dropExcess removes files that a start after crashes left beyond the bound.
func (l *Log) dropExcess() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) > 0 && l.files() > l.opts.FilesMax {
		f := l.free[0]
		l.free = l.free[1:]
		f.close()
		freeBuffer(f.buffer)
		if err := l.fs.Remove(l.fs.PathJoin(l.dir, f.name)); err != nil {
			l.opts.Logger.Warn("log file stays", "file", f.name, "err", err)
		}
	}
}

// files counts those that stand on the disk.
func (l *Log) files() int {
	n := 1 + len(l.full) + len(l.free)
	if l.next != nil {
		n++
	}
	return n
}

// takeBuffer finds a buffer of the right size among those no longer read.
func (l *Log) takeBuffer(old *file) []byte {
	if old != nil && old.buffer != nil {
		l.spare = append(l.spare, old.buffer)
		old.buffer = nil
	}
	for len(l.spare) > 0 {
		b := l.spare[len(l.spare)-1]
		l.spare = l.spare[:len(l.spare)-1]
		if len(b) == l.opts.FileSize {
			return b
		}
		freeBuffer(b)
	}
	return nil
}

// newFile makes an empty file: a former one under a new name, or a new one
// filled with zeros, so that no write of ours ever allocates on the disk. Its
// header is durable before a frame can be.
func (l *Log) newFile(number uint64, old *file, buffer []byte) (*file, error) {
	f := &file{number: number, name: fileName(number), size: l.opts.FileSize, buffer: buffer}
	f.limit = f.size - blockSize
	if f.buffer == nil {
		b, err := newBuffer(f.size)
		if err != nil {
			return nil, fmt.Errorf("buffer of %d bytes: %w", f.size, err)
		}
		f.buffer = b
	}
	path := l.fs.PathJoin(l.dir, f.name)
	err := l.place(path, old)
	if err == nil {
		err = l.begin(f, path)
	}
	if err != nil {
		f.close()
		freeBuffer(f.buffer)
		return nil, err
	}
	return f, nil
}

// place puts a file of the right size at path and makes its name durable.
func (l *Log) place(path string, old *file) error {
	if old != nil {
		former := l.fs.PathJoin(l.dir, old.name)
		old.close()
		if old.size == l.opts.FileSize {
			if err := l.fs.Rename(former, path); err != nil {
				return fmt.Errorf("recycle %s: %w", old.name, err)
			}
			return l.syncDir()
		}
		if err := l.fs.Remove(former); err != nil {
			return fmt.Errorf("remove %s: %w", old.name, err)
		}
	}
	if err := l.fillZero(path); err != nil {
		return err
	}
	return l.syncDir()
}

func (l *Log) fillZero(path string) error {
	h, err := l.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create log file: %w", err)
	}
	zeros := make([]byte, min(1<<20, l.opts.FileSize))
	for left := l.opts.FileSize; left > 0 && err == nil; left -= len(zeros) {
		_, err = h.Write(zeros[:min(left, len(zeros))])
	}
	if err == nil {
		err = h.Sync()
	}
	if err := errors.Join(err, h.Close()); err != nil {
		return fmt.Errorf("fill log file: %w", err)
	}
	return nil
}

// begin opens the file for frames under a new epoch.
func (l *Log) begin(f *file, path string) error {
	h, err := l.openForWrite(path)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	f.handle = h
	f.epoch = newEpoch()
	block := f.buffer[:blockSize]
	fileHeader{number: f.number, epoch: f.epoch, size: uint64(f.size)}.put(block)
	if err := f.writeAt(block, int64(f.limit)); err != nil {
		return err
	}
	return f.writeAt(block, 0)
}

func (l *Log) openForWrite(path string) (vfs.File, error) {
	if !l.opts.Buffered && l.fs == vfs.Default {
		if h, ok := openDirect(path); ok {
			return h, nil
		}
	}
	return l.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
}

func newEpoch() uint64 {
	if mutant.On(mutant.EpochReused) {
		return 1
	}
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			continue // never happens: crypto/rand ends the process instead
		}
		if e := binary.LittleEndian.Uint64(b[:]); e != 0 {
			return e
		}
	}
}

func (l *Log) syncDir() error {
	if mutant.On(mutant.DirSyncForgotten) {
		return nil
	}
	d, err := l.fs.OpenDir(l.dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", l.dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", l.dir, err)
	}
	return nil
}

// Trim says that the records up to and with lsn are needed no more. Files that
// hold nothing else are recycled, and their buffers, which must not be read any
// longer. The file of the newest durable record stays, whatever lsn is: it
// tells the next Open where the log ends.
func (l *Log) Trim(lsn LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.full) > 0 && l.full[0].last <= lsn && l.full[0].last < l.durable {
		l.free = append(l.free, l.full[0])
		l.full = l.full[1:]
	}
	l.wantFile()
}
