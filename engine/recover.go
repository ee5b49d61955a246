package engine

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/mutant"
	"github.com/parleychat/parley/tiering/segment"
	"github.com/parleychat/parley/wal"
)

// What a folder holds.
const (
	lockFile     = "LOCK"
	logDir       = "wal"
	segmentsDir  = "segments"
	catalogueDir = "catalogue"
	asideSuffix  = ".aside"
)

// Open locks the folder, makes it where it is missing, and brings the machine
// to where the log ends. It refuses a folder that is in use (ErrLocked), whose
// log ends before the cut (ErrLogLost), or that is damaged (ErrCorrupt,
// wal.ErrCorrupt, segment.ErrCorrupt): it never guesses.
func Open(fs vfs.FS, dir string, m Machine, opts Options) (*Engine, error) {
	e := &Engine{
		fs: fs, dir: dir, opts: opts.withDefaults(), machine: m,
		commits: make(chan commit, commitQueue), ended: make(chan struct{}),
	}
	e.flushes = make(chan *head, e.opts.HeadsMax-2) // beside the one being flushed and the one handed over
	e.segments.open = e.opts.SegmentsOpenMax
	e.tx.engine = e
	if err := makeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("engine: open: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	e.lock = lock
	if err := e.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: open %s: %w", dir, err), lock.Close())
	}
	e.applier.Go(e.applyLoop)
	e.watcher.Go(e.watchDisk)
	return e, nil
}

func (e *Engine) open() error {
	for _, d := range []string{segmentsDir, catalogueDir, logDir} {
		if err := e.fs.MkdirAll(e.fs.PathJoin(e.dir, d), 0o700); err != nil {
			return err
		}
	}
	if err := syncDir(e.fs, e.dir); err != nil {
		return err
	}
	c, err := openCatalogue(e.fs, e.fs.PathJoin(e.dir, catalogueDir), e.opts.Logger)
	if err != nil {
		return err
	}
	e.catalogue = c
	if err := e.load(); err != nil {
		return errors.Join(err, c.close())
	}
	e.flusher.Go(e.flushLoop)
	if err := e.recover(); err != nil {
		if e.log != nil {
			err = errors.Join(err, e.log.Close())
		}
		close(e.flushes)
		e.flusher.Wait()
		if e.log != nil {
			e.log.Release()
		}
		return errors.Join(err, c.close())
	}
	return nil
}

// makeDir makes a folder, with those above it that are missing, and their names
// durable.
func makeDir(fs vfs.FS, dir string) error {
	above := fs.PathDir(dir)
	if _, err := fs.Stat(above); errors.Is(err, os.ErrNotExist) && above != dir {
		if err := makeDir(fs, above); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, above)
}

// load reads the state at the cut.
func (e *Engine) load() error {
	partitions, err := e.catalogue.store()
	if err != nil {
		return err
	}
	if partitions == 0 {
		partitions = e.opts.Partitions
		if err := e.catalogue.makeStore(partitions); err != nil {
			return err
		}
	}
	e.index.users = make(map[parley.UserID]map[parley.ConversationID]stamp)
	e.partitions = make([]*partition, partitions)
	if e.cutAt, err = e.catalogue.cut(partitions); err != nil {
		return err
	}
	for i := range e.partitions {
		e.partitions[i] = newPartition(parley.PartitionID(i), e.cutAt.partitions[i])
	}
	if err := e.catalogue.each(keyRow, e.loadRow); err != nil {
		return err
	}
	if err := e.catalogue.each(keyListed, e.loadListed); err != nil {
		return err
	}
	e.incarnation, err = openIncarnation(e.fs, e.dir, e.opts)
	return err
}

// recover checks the segments and brings the state to the end of the log. Only
// a store that is whole is swept: another may yet be mended, and a segment that
// the catalogue does not name may then be one that it should.
func (e *Engine) recover() error {
	names, err := e.unnamed()
	if err != nil {
		return err
	}
	if err := e.replay(); err != nil {
		return err
	}
	return e.sweep(names)
}

// unnamed lists the segments that the catalogue does not name, and refuses a
// folder without those that it does.
func (e *Engine) unnamed() (names []string, err error) {
	named, err := e.catalogue.segments()
	if err != nil {
		return nil, err
	}
	files, err := e.fs.List(e.fs.PathJoin(e.dir, segmentsDir))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		id, ok := segment.ParseFileName(strings.TrimSuffix(name, asideSuffix))
		if !ok {
			continue
		}
		e.nextSegment = max(e.nextSegment, id)
		if named[id] && !strings.HasSuffix(name, asideSuffix) {
			delete(named, id)
			continue
		}
		names = append(names, name)
	}
	for id := range named {
		return nil, fmt.Errorf("%w: segment %s is gone; restore the folder from a backup", ErrCorrupt, segment.FileName(id))
	}
	return names, nil
}

// sweep sets aside the segments that a crash left unfinished, and deletes those
// that an Open before set aside: the store has since been opened without them.
func (e *Engine) sweep(names []string) error {
	dir := e.fs.PathJoin(e.dir, segmentsDir)
	for _, name := range names {
		path := e.fs.PathJoin(dir, name)
		var err error
		if strings.HasSuffix(name, asideSuffix) {
			err = e.fs.Remove(path)
		} else {
			err = e.fs.Rename(path, path+asideSuffix)
		}
		if err != nil {
			return err
		}
	}
	return syncDir(e.fs, dir)
}

// replay brings the state from the cut to the end of the log.
func (e *Engine) replay() error {
	e.head = newHead()
	e.tx.head = e.head
	from := e.cutAt.lsn + 1
	if mutant.On(mutant.LinkedAgain) && from > 1 {
		from--
	}
	if mutant.On(mutant.ReplaySkipped) && e.cutAt.lsn > 0 {
		from++
	}
	open := e.opts.OpenLog
	if open == nil {
		open = openLocalLog(e.fs, e.fs.PathJoin(e.dir, logDir), e.opts)
	}
	l, err := open(from, Sink{
		Replay:  e.replayGroup,
		Indexes: e.indexes,
		Commit:  func(g wal.Group) { e.commits <- commit{group: g} },
		Lost:    e.lose,
		Failed:  func(err error) { e.commits <- commit{failed: err} },
	})
	if errors.Is(err, wal.ErrShort) {
		return fmt.Errorf("%w, which is at record %d: log files were lost or replaced by older ones. Restore the whole folder from one copy: %w", ErrLogLost, e.cutAt.lsn, err)
	}
	if err != nil {
		return err
	}
	e.intake.Lock()
	e.log = l
	for _, p := range e.partitions {
		e.stamped = max(e.stamped, p.time)
	}
	e.floor.Store(e.stamped)
	e.intake.Unlock()
	l.Trim(e.cutAt.lsn)
	if t := wal.LSN(e.trimmed.Load()); t > 0 {
		l.Trim(t)
	}
	return nil
}

// replayGroup applies a group again. It waits for the head that it may have
// closed: a log that cannot be opened frees its buffers, and no flush may be
// reading them then.
func (e *Engine) replayGroup(g wal.Group) error {
	if err := e.applyGroup(g, false); err != nil || e.flushed == nil {
		return err
	}
	select {
	case <-e.flushed:
		return nil
	case <-e.ended:
		return e.failure()
	}
}

func (e *Engine) indexes() []uint64 {
	all := make([]uint64, len(e.partitions))
	for i, p := range e.partitions {
		p.mu.RLock()
		all[i] = p.index
		p.mu.RUnlock()
	}
	return all
}
