package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open locks the folder, makes it where it is missing, replays what is durable
// from Options.From on, and begins a new file. A torn record at the very end,
// which nobody was told was safe, is dropped with a word in the log.
func Open(fs vfs.FS, dir string, opts Options) (*Log, error) {
	l := &Log{
		fs: fs, dir: dir, opts: opts.withDefaults(),
		prepare: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	l.work.L = &l.mu
	if err := makeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("wal: open: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("wal: lock %s (is another process using it?): %w", dir, err)
	}
	l.lock = lock
	if err := l.recover(); err != nil {
		l.closeFiles()
		l.freeBuffers()
		return nil, errors.Join(fmt.Errorf("wal: open: %w", err), lock.Close())
	}
	l.wg.Go(l.commitLoop)
	l.wg.Go(l.prepareLoop)
	l.wantFile()
	return l, nil
}

// makeDir makes the folder and its name durable.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := fs.OpenDir(fs.PathDir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// recover replays the files and begins the one that new records go to.
func (l *Log) recover() error {
	numbers, err := List(l.fs, l.dir)
	if err != nil {
		return err
	}
	s := scanner{fs: l.fs, dir: l.dir, from: l.opts.From, handle: l.opts.Replay, next: 1}
	for _, number := range numbers {
		f, err := s.file(number, l.opts.Retain)
		if err != nil {
			return err
		}
		l.full = append(l.full, f)
		l.number = number
	}
	l.sortOut(s.end)
	if s.next < l.opts.From {
		return fmt.Errorf("%w: next record %d, expected at least %d; the folder was lost or replaced by an older copy", ErrShort, s.next, l.opts.From)
	}
	if s.torn != nil {
		l.opts.Logger.Warn("dropped a torn write at the end of the log; nothing in it was acknowledged",
			"file", s.torn.name, "offset", s.tornAt, "next", s.next)
		if err := l.clearTail(s.torn, s.tornAt); err != nil {
			return err
		}
	}
	if err := l.settle(&s); err != nil {
		return err
	}
	l.nextLSN, l.durable = s.next, s.next-1
	l.number++
	l.current, err = l.newFile(l.number, nil, nil)
	if err != nil {
		return err
	}
	l.open = newFrame(l.current, blockSize)
	return nil
}

// sortOut leaves in full the files with records that the caller needs and the
// newest with any, which tells where the log ends; the others are used again.
func (l *Log) sortOut(newest *file) {
	found := l.full
	l.full = nil
	for _, f := range found {
		if f.last >= l.opts.From || f == newest {
			l.full = append(l.full, f)
			continue
		}
		freeBuffer(f.buffer)
		f.buffer = nil
		l.free = append(l.free, f)
	}
}

// settle makes sure that what was read is on the disk: after a killed process
// the newest frame may stand in the page cache alone. It is written once more,
// with the bytes that it has: if its sync had failed a sync alone would do
// nothing, for the kernel then holds its pages for clean.
func (l *Log) settle(s *scanner) error {
	if s.end == nil {
		return nil
	}
	h, err := l.fs.OpenReadWrite(l.fs.PathJoin(l.dir, s.end.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	frame := make([]byte, s.endAt-s.newestAt)
	_, err = h.ReadAt(frame, int64(s.newestAt))
	if err == nil {
		_, err = h.WriteAt(frame, int64(s.newestAt))
	}
	if err := errors.Join(err, h.Sync(), h.Close()); err != nil {
		return fmt.Errorf("write %s again: %w", s.end.name, err)
	}
	return l.syncDir()
}

// clearTail zeroes the head of a torn frame, so that no later Open can take it
// for whole.
func (l *Log) clearTail(f *file, off int) error {
	h, err := l.fs.OpenReadWrite(l.fs.PathJoin(l.dir, f.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(make([]byte, blockSize), int64(off))
	if err := errors.Join(err, h.Sync(), h.Close()); err != nil {
		return fmt.Errorf("clear tail of %s: %w", f.name, err)
	}
	return nil
}

// List returns the numbers of the log files in a folder, ascending.
func List(fs vfs.FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseFileName(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Scan reads the log in a folder without changing anything there and passes
// every group from the first record needed on to handle. It returns the LSN
// that the next record would have, and the place of a torn write at the end,
// if there is one. Nobody may write to the log meanwhile.
func Scan(fs vfs.FS, dir string, from LSN, handle func(Group) error) (next LSN, torn string, err error) {
	numbers, err := List(fs, dir)
	if err != nil {
		return 0, "", fmt.Errorf("wal: scan: %w", err)
	}
	s := scanner{fs: fs, dir: dir, from: max(from, 1), handle: handle, next: 1}
	for _, number := range numbers {
		f, err := s.file(number, false)
		if err != nil {
			return s.next, "", fmt.Errorf("wal: scan: %w", err)
		}
		freeBuffer(f.buffer)
	}
	if s.torn != nil {
		torn = fmt.Sprintf("%s:%d", s.torn.name, s.tornAt)
	}
	return s.next, torn, nil
}

// scanner reads files in ascending order and holds them to the promises of
// format.go.
type scanner struct {
	fs     vfs.FS
	dir    string
	from   LSN
	handle func(Group) error

	next     LSN   // the record expected
	end      *file // the last file with frames
	endAt    int   // where its frames end
	newestAt int   // where the last of them begins
	torn     *file // where a frame was begun and not completed, at the end
	tornAt   int
}

// file reads one file. The result's last is 0 if it holds no frame of its own
// use.
func (s *scanner) file(number uint64, retain bool) (*file, error) {
	f := &file{number: number, name: fileName(number)}
	b, err := readFile(s.fs, s.fs.PathJoin(s.dir, f.name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	f.size, f.buffer = len(b), b
	if err := s.frames(f); err != nil {
		freeBuffer(b)
		return nil, err
	}
	if !retain {
		freeBuffer(b)
		f.buffer = nil
	}
	return f, nil
}

func (s *scanner) frames(f *file) error {
	ok, err := readHeader(f)
	if !ok || err != nil {
		return err
	}
	off, limit := blockSize, len(f.buffer)-blockSize
	for off < limit {
		h, whole := parseFrame(f.buffer[off:limit], f.epoch)
		if !whole {
			break
		}
		if err := s.frame(f, off, h); err != nil {
			return err
		}
		off = alignUp(off + frameHeaderSize + int(h.length))
	}
	return s.tail(f, off, limit)
}

// readHeader reports false for a file that was never begun under its number.
func readHeader(f *file) (bool, error) {
	n := len(f.buffer)
	if n < 2*blockSize {
		return false, nil
	}
	h, version, ok := parseFileHeader(f.buffer)
	if !ok || h.number != f.number {
		h, version, ok = parseFileHeader(f.buffer[n-blockSize:])
	}
	if !ok || h.number != f.number {
		return false, nil
	}
	if version != formatVersion {
		return false, fmt.Errorf("%w: %s has %d, this program reads %d", ErrVersion, f.name, version, formatVersion)
	}
	if h.size != uint64(n) {
		return false, &CorruptError{File: f.name, Offset: int64(n), Reason: fmt.Sprintf("file of %d bytes was made with %d", n, h.size)}
	}
	f.epoch = h.epoch
	return true, nil
}

// frame takes one whole frame.
func (s *scanner) frame(f *file, off int, h frameHeader) error {
	if s.torn != nil && s.torn != f && h.first == s.next {
		// The tail was cut by an earlier Open, which went on in this file.
		s.torn = nil
	}
	switch {
	case h.first > s.next && h.first <= s.from && f.last == 0:
		// The first file, or one behind trimmed ones that left a hole.
	case h.first != s.next:
		return s.missing(f, off, h.first)
	}
	s.next = h.first + LSN(h.count)
	if h.count == 0 {
		s.next = h.first
		return nil
	}
	f.last = s.next - 1
	s.end, s.endAt = f, alignUp(off+frameHeaderSize+int(h.length))
	s.newestAt = off
	g := Group{First: h.first, Count: int(h.count), File: f.number, Buffer: f.buffer, Offset: off + frameHeaderSize}.after(s.from)
	if g.Count == 0 || s.handle == nil {
		return nil
	}
	return s.handle(g)
}

// missing names the place of durable records that are gone.
func (s *scanner) missing(f *file, off int, found LSN) error {
	e := &CorruptError{File: f.name, Offset: int64(off), Next: s.next,
		Reason: fmt.Sprintf("record %d stands where %d was due", found, s.next)}
	if s.end != nil && s.end != f {
		e.File, e.Offset = s.end.name, int64(s.endAt)
		e.Reason = fmt.Sprintf("records %d to %d are missing before %s", s.next, found-1, f.name)
	}
	return e
}

// tail tells a torn frame at off, which is dropped, from damage in the middle:
// behind a torn frame no other of the same epoch can stand.
func (s *scanner) tail(f *file, off, limit int) error {
	if off >= limit {
		return nil
	}
	for at := off + blockSize; at < limit; at += blockSize {
		if h, whole := parseFrame(f.buffer[at:limit], f.epoch); whole && h.first >= s.next {
			return &CorruptError{File: f.name, Offset: int64(off), Next: max(s.next, s.from), Reason: "damaged frame before whole ones"}
		}
	}
	if bearsEpoch(f.buffer[off:limit], f.epoch) {
		s.torn, s.tornAt = f, off
	}
	return nil
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	h, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer func() { _ = h.Close() }()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, nil
	}
	b, err := newBuffer(int(info.Size()))
	if err != nil {
		return nil, err
	}
	if n, err := h.ReadAt(b, 0); n != len(b) || err != nil && !errors.Is(err, io.EOF) {
		freeBuffer(b)
		return nil, fmt.Errorf("%d of %d bytes: %w", n, len(b), err)
	}
	return b, nil
}
