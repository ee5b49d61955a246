package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wal"
)

// checkRows compares every row at the cut with the fold of the messages.
func (f *folder) checkRows() {
	for id, conv := range f.report.Model.Conversations {
		if f.rows[id] == nil {
			f.report.flaw("%v has %d messages and no row", id, len(conv.Messages))
		}
	}
	for id, r := range f.rows {
		conv := f.report.Model.Conversations[id]
		if conv == nil {
			f.report.flaw("%v has a row and no beginning", id)
			continue
		}
		f.checkRow(id, r, conv)
	}
	for line, left := range f.lists {
		conv := f.report.Model.Conversations[line.conversation]
		if conv == nil || conv.Members[line.user] == nil {
			f.report.flaw("the list of %v names %v, where he never was", line.user, line.conversation)
		} else if left != (conv.Members[line.user].Role == 0) {
			f.report.flaw("the list of %v says left=%v of %v", line.user, left, line.conversation)
		}
	}
}

func (f *folder) checkRow(id parley.ConversationID, r *row, conv *Conversation) {
	if f.at[id].broken {
		return
	}
	same := func(what string, got, want any) {
		if got != want {
			f.report.flaw("%v: row says %s %v, the messages say %v", id, what, got, want)
		}
	}
	same("last", r.last, uint64(len(conv.Messages)))
	same("segment", r.segment, f.at[id].segment)
	same("ordinal", r.ordinal, f.at[id].ordinal)
	same("tenant", r.tenant, conv.Tenant)
	same("kind", r.kind, conv.Kind)
	same("title", r.title, conv.Title)
	same("members", len(r.members), len(conv.Members))
	for i := range r.members {
		m := &r.members[i]
		if i > 0 && slices.Compare(r.members[i-1].user[:], m.user[:]) >= 0 {
			f.report.flaw("%v: members are out of order", id)
		}
		who := conv.Members[m.user]
		if who == nil {
			f.report.flaw("%v: %v has a place and never joined", id, m.user)
			continue
		}
		// What no message tells stands in the row alone; what follows from it
		// is counted again.
		who.Delivered, who.Read, who.Unread, who.Muted = m.delivered, m.read, m.unread, m.muted
		f.checkMember(id, same, conv, r, m, who)
		if _, ok := f.lists[listKey{m.user, id}]; !ok {
			f.report.flaw("%v is not in the list of %v", id, m.user)
		}
	}
}

func (f *folder) checkMember(id parley.ConversationID, same func(string, any, any), conv *Conversation, r *row, m *rowMember, who *Member) {
	ordinal, ownAtRead := conv.count(m.user, min(m.read, conv.last()))
	_, own := conv.count(m.user, conv.last())
	lastOwn := parley.Seq(0)
	if n := len(conv.own[m.user]); n > 0 {
		lastOwn = conv.own[m.user][n-1]
	}
	name := func(what string) string { return fmt.Sprintf("%s of %v", what, m.user) }
	same(name("role"), m.role, who.Role)
	same(name("own"), m.own, own)
	same(name("last own"), m.lastOwn, lastOwn)
	same(name("own at read"), m.ownAtRead, ownAtRead)
	same(name("ordinal at read"), m.ordinal, ordinal)
	same(name("intervals"), fmt.Sprint(m.belongs), fmt.Sprint(who.Belongs))
	same(name("forgotten"), m.forgotten, who.forgotten)
	same(name("streams"), fmt.Sprint(m.streams), fmt.Sprint(who.streams))
	if m.read > conv.last() || m.delivered > conv.last() {
		f.report.flaw("watermarks %d/%d of %v lie beyond the last message", m.delivered, m.read, m.user)
	}
	if m.left > r.version || m.role == 0 && m.left == 0 {
		f.report.flaw("%v: %v left with version %d of %d", id, m.user, m.left, r.version)
	}
	if m.role != 0 {
		same(name("unread"), uint64(r.ordinal-m.ordinal)-(m.own-m.ownAtRead), conv.CountUnread(m.user))
	}
}

// checkUsers holds the two rows of each user together.
func (f *folder) checkUsers() {
	for hash, s := range f.subjects {
		u, ok := f.users[s.user]
		switch {
		case !ok:
			f.report.flaw("a subject's row %x leads to user %v, who has no row", hash, s.user)
		case subjectHash(u.tenant, u.subject) != hash:
			f.report.flaw("a subject's row %x leads to user %v, whose subject is another", hash, s.user)
		case s.partition != u.partition:
			f.report.flaw("the rows of user %v lie in partitions %d and %d", s.user, s.partition, u.partition)
		}
	}
	for id, u := range f.users {
		if f.subjects[subjectHash(u.tenant, u.subject)].user != id {
			f.report.flaw("no subject's row leads to user %v", id)
		}
		if a, ok := f.accounts[id]; ok && a.partition != u.partition {
			f.report.flaw("the account of user %v lies in partition %d, his row in %d", id, a.partition, u.partition)
		}
		f.report.Model.Users[userKey(u.tenant, u.subject)] = id
		f.report.Model.taken[id] = true
	}
}

// checkAccounts holds every account to a user.
func (f *folder) checkAccounts() {
	for id := range f.accounts {
		if _, ok := f.users[id]; !ok {
			f.report.flaw("account of user %v, who has no row", id)
		}
	}
}

// readLog folds what stands behind the cut.
func (f *folder) readLog() error {
	indexes := slices.Clone(f.cut)
	file := uint64(0)
	next, torn, err := wal.Scan(f.fs, f.fs.PathJoin(f.dir, "wal"), f.report.Cut+1, func(g wal.Group) error {
		if g.File != file {
			file, f.report.Newest = g.File, 0
		}
		for lsn, record := range g.Records() {
			f.foldLogged(lsn, record, indexes)
		}
		f.report.Newest += uint64(g.Count)
		return nil
	})
	f.report.Next, f.report.Torn = next, torn
	switch {
	case err != nil:
		f.report.flaw("log: %v", err)
	case next <= f.report.Cut:
		f.report.flaw("log: ends at record %d, before the cut at %d: log files were lost", next-1, f.report.Cut)
	}
	return nil
}

func (f *folder) foldLogged(lsn wal.LSN, record []byte, at []cutPartition) {
	c, err := DecodeRecord(record)
	if err != nil || int(c.Partition) >= len(at) {
		f.report.flaw("log record %d: cannot be read (%v)", lsn, err)
		return
	}
	p := &at[c.Partition]
	if c.Index != p.index+1 {
		f.report.flaw("log record %d: index %d of partition %d where %d was due", lsn, c.Index, c.Partition, p.index+1)
	}
	if c.Time < p.time {
		f.report.flaw("log record %d: stamp runs backwards", lsn)
	}
	p.index, p.time = c.Index, max(p.time, c.Time)
	if k, ok := c.Body.(*Mark); ok {
		f.checkFacts(lsn, c, k)
	}
	f.report.Model.Apply(c)
	f.report.Replayed++
}

// checkFacts counts again what a mark says of older messages.
func (f *folder) checkFacts(lsn wal.LSN, c *Command, k *Mark) {
	conv, _ := f.report.Model.conversation(c, k.Conversation, k.User)
	if conv == nil || k.Read > conv.last() {
		return // refused
	}
	if ordinal, own := conv.count(k.User, k.Read); ordinal != k.Ordinal || own != k.Own {
		f.report.flaw("log record %d: a mark at %v/%d says %d counting, %d own; there are %d and %d",
			lsn, k.Conversation, k.Read, k.Ordinal, k.Own, ordinal, own)
	}
}

// Sorted is the conversations in the order of their ids.
func (m *Model) Sorted() []parley.ConversationID {
	ids := make([]parley.ConversationID, 0, len(m.Conversations))
	for id := range m.Conversations {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b parley.ConversationID) int { return cmp.Compare(string(a[:]), string(b[:])) })
	return ids
}
