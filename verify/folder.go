package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/tiering/segment"
	"github.com/parleychat/parley/wal"
)

// Report is what a folder holds, and what is wrong with it.
type Report struct {
	Model      *Model
	Partitions int
	Cut        wal.LSN // up to here in segments and rows
	Next       wal.LSN // what the log would give next
	Torn       string  // file and offset of a torn write at the end of the log, if any
	Segments   int
	Messages   uint64 // in segments
	Replayed   uint64 // records behind the cut
	Newest     uint64 // of them, in the newest log file: the head that was open

	// Flaws name each thing that is not as it must be, the first flawsMax of
	// them. A sound folder has none.
	Flaws []string
}

// flawsMax bounds the flaws that are named.
const flawsMax = 100

func (r *Report) flaw(format string, args ...any) {
	if len(r.Flaws) < flawsMax {
		r.Flaws = append(r.Flaws, fmt.Sprintf(format, args...))
	}
}

// folder is a Folder on its way.
type folder struct {
	fs     vfs.FS
	dir    string
	db     *pebble.DB
	report Report

	cut      []cutPartition
	rows     map[parley.ConversationID]*row
	users    map[parley.UserID]userRow
	accounts map[parley.UserID]accountRow
	subjects map[[16]byte]subjectRow
	lists    map[listKey]bool                    // true: left
	at       map[parley.ConversationID]placement // from segments
}

type cutPartition struct {
	index uint64
	time  int64
}

type listKey struct {
	user         parley.UserID
	conversation parley.ConversationID
}

type placement struct {
	partition parley.PartitionID
	segment   uint64
	ordinal   parley.Ordinal
	broken    bool // a flaw of its messages was named: others follow from it
}

// partitionsMax is how many partitions a store may have.
const partitionsMax = 4096

// Folder reads a data folder and changes nothing there. Flaws of the data are
// in the report; an error says that the folder could not be read at all, for
// instance because a server has it open.
func Folder(fs vfs.FS, dir string) (report *Report, err error) {
	f := &folder{
		fs: fs, dir: dir,
		rows:  make(map[parley.ConversationID]*row),
		users: make(map[parley.UserID]userRow), accounts: make(map[parley.UserID]accountRow), subjects: make(map[[16]byte]subjectRow),
		lists: make(map[listKey]bool), at: make(map[parley.ConversationID]placement),
	}
	f.report.Model = NewModel()
	if _, err := fs.Stat(fs.PathJoin(dir, "catalogue")); err != nil {
		return nil, fmt.Errorf("verify: no data folder: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("verify: %s is in use, stop the server first: %w", dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return &f.report, nil
}

func (f *folder) read() error {
	if err := f.open(); err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	return errors.Join(f.run(), f.db.Close())
}

// open opens the catalogue. Pebble gives up by a panic on some damage to its own
// files: that is a folder that cannot be read, and no reason to end.
func (f *folder) open() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	f.db, err = pebble.Open(f.fs.PathJoin(f.dir, "catalogue"), &pebble.Options{FS: f.fs, ReadOnly: true, Logger: quiet{}})
	return err
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func (f *folder) run() error {
	if err := f.readStore(); err != nil {
		return err
	}
	if f.report.Partitions == 0 {
		return nil // made, and never used
	}
	for _, step := range []func() error{f.readRows, f.readLists, f.readSegments} {
		if err := step(); err != nil {
			return err
		}
	}
	f.checkRows()
	f.checkUsers()
	f.checkAccounts()
	return f.readLog()
}

func (f *folder) get(key byte) ([]byte, error) {
	v, closer, err := f.db.Get([]byte{key})
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(v), closer.Close()
}

func (f *folder) each(prefix byte, visit func(key, value []byte)) error {
	it, err := f.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		visit(it.Key()[1:], it.Value())
	}
	return errors.Join(it.Error(), it.Close())
}

func (f *folder) readStore() error {
	v, err := f.get('m')
	if err != nil || v == nil {
		return err
	}
	if len(v) != 8 || binary.LittleEndian.Uint32(v) != 1 {
		return fmt.Errorf("store record % x: format unknown here", v)
	}
	n := int(binary.LittleEndian.Uint32(v[4:]))
	if n < 1 || n > partitionsMax {
		return fmt.Errorf("store record says %d partitions", n)
	}
	f.report.Partitions = n
	f.report.Model.partitions = n
	f.cut = make([]cutPartition, n)
	if v, err = f.get('c'); err != nil || v == nil {
		return err
	}
	if len(v) != 8+16*n {
		f.report.flaw("cut of %d bytes for %d partitions", len(v), n)
		return nil
	}
	f.report.Cut = wal.LSN(binary.LittleEndian.Uint64(v))
	for i := range f.cut {
		b := v[8+16*i:]
		f.cut[i] = cutPartition{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))}
	}
	return nil
}

// partitionOf is FNV-1a over tenant and id.
func partitionOf(partitions int, t parley.TenantID, id [16]byte) parley.PartitionID {
	h := uint64(14695981039346656037)
	for _, b := range append(binary.LittleEndian.AppendUint32(nil, uint32(t)), id[:]...) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return parley.PartitionID(h % uint64(partitions))
}

// subjectHash is what the row of a subject is found by.
func subjectHash(t parley.TenantID, subject string) [16]byte {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint32(nil, uint32(t)), subject...))
	return [16]byte(sum[:16])
}

func (f *folder) readRows() error {
	return f.each('r', func(k, v []byte) {
		if len(k) != 35 {
			f.report.flaw("row key of %d bytes", len(k))
			return
		}
		p := parley.PartitionID(binary.BigEndian.Uint16(k))
		if int(p) >= f.report.Partitions {
			f.report.flaw("row of partition %d of %d", p, f.report.Partitions)
			return
		}
		if err := f.readRow(p, k[2], [16]byte(k[3:19]), v); err != nil {
			f.report.flaw("row %x of table %d: %v", k[3:19], k[2], err)
		}
	})
}

func (f *folder) readRow(p parley.PartitionID, table uint8, id [16]byte, v []byte) error {
	want := partitionOf(f.report.Partitions, 0, id)
	switch table {
	case 1:
		r, err := decodeConversationRow(v)
		if err != nil {
			return err
		}
		want = partitionOf(f.report.Partitions, r.tenant, id)
		f.rows[id] = r
	case 2:
		s, err := decodeSettingsRow(v)
		if err != nil {
			return err
		}
		want = p
		f.report.Model.settings[p] = s
	case 3:
		s, err := decodeSubjectRow(v)
		if err != nil {
			return err
		}
		s.partition = p
		f.subjects[id] = s
	case 4:
		u, err := decodeUserRow(v)
		if err != nil {
			return err
		}
		u.partition = p
		f.users[id] = u
	case 5:
		a, err := decodeAccountRow(v)
		if err != nil {
			return err
		}
		a.partition = p
		f.accounts[id] = a
	case 6:
		if err := decodeBeatsRow(v); err != nil {
			return err
		}
		if id != [16]byte{} {
			return errors.New("the beats stand under an id")
		}
	default:
		return errors.New("unknown here")
	}
	if want != p {
		return fmt.Errorf("stands in partition %d, belongs to %d", p, want)
	}
	return nil
}

func (f *folder) readLists() error {
	return f.each('u', func(k, v []byte) {
		if len(k) != 32 || len(v) != 5 {
			f.report.flaw("list line of %d and %d bytes", len(k), len(v))
			return
		}
		f.lists[listKey{parley.UserID(k[:16]), parley.ConversationID(k[16:])}] = v[4] == 1
	})
}

// readSegments folds every message of the named segments, oldest first.
func (f *folder) readSegments() error {
	var ids []uint64
	sizes := make(map[uint64][]byte)
	err := f.each('s', func(k, v []byte) {
		if len(k) != 8 || len(v) != 28 {
			f.report.flaw("segment line of %d and %d bytes", len(k), len(v))
			return
		}
		id := binary.BigEndian.Uint64(k)
		ids = append(ids, id)
		sizes[id] = slices.Clone(v)
	})
	if err != nil {
		return err
	}
	f.seedDirect()
	for _, id := range ids {
		if err := f.readSegment(id, sizes[id]); err != nil {
			f.report.flaw("segment %s: %v", segment.FileName(id), err)
		}
	}
	f.report.Segments = len(ids)
	return nil
}

// seedDirect makes the direct conversations, whose making is no message.
func (f *folder) seedDirect() {
	for id, r := range f.rows {
		if r.kind != parley.Direct {
			continue
		}
		if len(r.members) != 2 || id != parley.DirectConversation(r.tenant, r.members[0].user, r.members[1].user) {
			f.report.flaw("conversation %v is not the one between its two members", id)
			continue
		}
		f.report.Model.Apply(&Command{
			Partition: partitionOf(f.report.Partitions, r.tenant, id), Tenant: r.tenant,
			Body: &Create{Conversation: id, Actor: r.members[0].user, Kind: parley.Direct, Users: []parley.UserID{r.members[1].user}},
		})
	}
}

func (f *folder) readSegment(id uint64, named []byte) error {
	r, err := segment.Open(f.fs, f.fs.PathJoin(f.dir, "segments", segment.FileName(id)))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	info := r.Info()
	want := segment.Info{
		ID: id, Size: int64(binary.LittleEndian.Uint64(named)),
		Messages: binary.LittleEndian.Uint64(named[8:]), Runs: binary.LittleEndian.Uint32(named[16:]),
	}
	if info != want {
		return fmt.Errorf("is %+v, the catalogue says %+v", info, want)
	}
	for m, err := range r.All() {
		if err != nil {
			return err
		}
		f.foldStored(id, &m)
		f.report.Messages++
	}
	return nil
}

// foldStored folds one message of a segment and holds its place to the promises.
func (f *folder) foldStored(id uint64, m *segment.Placed) {
	conv := m.Conversation
	before, seen := f.at[conv]
	if !seen {
		before.partition = m.Partition
	}
	if before.segment != id {
		if m.Previous != before.segment {
			f.report.flaw("%v: segment %d names %d before it, not %d", conv, id, m.Previous, before.segment)
		}
		before.segment = id
	}
	c, err := DecodeRecord(m.Record)
	if err != nil {
		f.report.flaw("%v/%d: %v", conv, m.Seq, err)
		return
	}
	if c.Partition != m.Partition || c.Partition != before.partition || c.Index != m.Index {
		f.report.flaw("%v/%d: record of partition %d index %d stands as %d/%d", conv, m.Seq, c.Partition, c.Index, m.Partition, m.Index)
	}
	if int(c.Partition) < len(f.cut) && c.Index > f.cut[c.Partition].index {
		f.report.flaw("%v/%d: index %d lies beyond the cut", conv, m.Seq, c.Index)
	}
	model := f.report.Model.Conversations[conv]
	if model != nil && len(model.Messages) > 0 && model.Messages[len(model.Messages)-1].Index >= c.Index {
		f.report.flaw("%v/%d: index %d does not rise", conv, m.Seq, c.Index)
	}
	if !before.broken {
		f.foldMessage(&before, id, m, c)
	}
	f.at[conv] = before
}

// foldMessage decides a stored message anew: it must get what it has.
func (f *folder) foldMessage(at *placement, id uint64, m *segment.Placed, c *Command) {
	conv := m.Conversation
	_, begins := c.Body.(*Create)
	if f.report.Model.Conversations[conv] == nil && !begins {
		f.report.flaw("%v: messages from %d on in segment %d, and no beginning: its row or an older segment is missing", conv, m.Seq, id)
		at.broken = true
		return
	}
	keep := f.report.Model.settings[c.Partition]
	f.report.Model.settings[c.Partition] = settings{1 << 31, 1<<16 - 1, 1<<16 - 1} // those of its day are not known
	seq, code := f.report.Model.Apply(c)
	f.report.Model.settings[c.Partition] = keep
	if keep == (settings{}) {
		delete(f.report.Model.settings, c.Partition)
	}
	if code != parley.OK || seq != m.Seq {
		f.report.flaw("%v: sequence %d of segment %d is %d by the rules (%v)", conv, m.Seq, id, seq, code)
		at.broken = true
		return
	}
	if s, ok := c.Body.(*Send); ok && s.Kind.Counts() {
		at.ordinal++
	}
	if m.Ordinal != at.ordinal {
		f.report.flaw("%v/%d: ordinal %d, counted %d", conv, m.Seq, m.Ordinal, at.ordinal)
		at.broken = true
	}
}
