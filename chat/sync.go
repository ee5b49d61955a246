package chat

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
)

// State is what a list shows of a conversation, for one user.
type State struct {
	Conversation parley.ConversationID
	Kind         parley.ConversationKind
	Title        string
	Last         parley.Seq
	Version      parley.Version
	Changed      time.Time
	parley.Counts
	MarkedUnread bool
	MutedUntil   time.Time // zero if not muted
	Role         parley.Role
	Marks        parley.Watermarks // the user's own
	Peer         Member            // the other one of a direct conversation

	// Left says that the user belongs no longer. What is older stays readable
	// by History; of the other fields only Conversation, Version, of the moment
	// he left, and Changed, by the hour, are set.
	Left bool
}

// Cursor is where a device's next sync starts. Devices hand it back as it is.
type Cursor []byte

// SyncPage is a page of the conversations that may have changed, newest first.
// Applying a page twice, or pages in any order, gives the same.
type SyncPage struct {
	Incarnation   parley.Incarnation
	Conversations []State
	// Cursor asks for the next page if More, and for what changes from now on
	// otherwise.
	Cursor Cursor
	More   bool
	// Authoritative, on a last page: all there is has been listed since the
	// listing began. What the device holds besides is gone.
	Authoritative bool
}

// SyncMax bounds the conversations of a page.
const SyncMax = 200

// tombstones is how long a conversation that was left is told of.
const tombstones = 90 * 24 * time.Hour

// A cursor, little-endian: version (1), flags (1), incarnation (8), since (8),
// until (8), and of the last conversation listed its change (8) and id (16).
// since is the stamp from which changes are told; until is the next listing's
// since; a zero change means that the listing has not begun. The flag says that
// the listing, or one that this one completes, tells all there is.
type cursor struct {
	whole        bool
	incarnation  parley.Incarnation
	since, until int64
	changed      int64
	conversation parley.ConversationID
}

const (
	cursorVersion = 1
	cursorSize    = 2 + 4*8 + 16
)

// stale reports whether what was left since may be forgotten, so that the whole
// list must be told.
func (c cursor) stale() bool { return c.since == 0 || c.since < c.until-tombstones.Microseconds() }

func (c cursor) encode() Cursor {
	b := make([]byte, 0, cursorSize)
	b = append(b, cursorVersion, 0)
	if c.whole {
		b[1] = 1
	}
	b = appendU64(b, uint64(c.incarnation))
	b = appendU64(b, uint64(c.since))
	b = appendU64(b, uint64(c.until))
	b = appendU64(b, uint64(c.changed))
	return append(b, c.conversation[:]...)
}

// decode reads a cursor. One of another version is none at all.
func (b Cursor) decode() (cursor, error) {
	if len(b) == 0 || b[0] != cursorVersion {
		return cursor{}, nil
	}
	if len(b) != cursorSize {
		return cursor{}, fmt.Errorf("%w: cursor of %d bytes", parley.BadRequest, len(b))
	}
	d := decoder{b: b[2:]}
	return cursor{
		whole:       b[1] == 1,
		incarnation: parley.Incarnation(d.u64()), since: int64(d.u64()), until: int64(d.u64()),
		changed: int64(d.u64()), conversation: d.conversation(),
	}, nil
}

// Sync tells a device which conversations may have changed since its cursor. An
// empty cursor, one from before a restore and one from the future tell
// everything.
//
// A change while a listing is under way moves its conversation to the front,
// where the listing has been already. So one of several pages is followed by
// another, of what changed since its first page, until nothing did.
func (s *Service) Sync(by parley.Identity, from Cursor, limit int) (SyncPage, error) {
	at, err := from.decode()
	if err != nil {
		return SyncPage{}, err
	}
	// Asked for before any row is looked at: what is stamped below it stands in
	// the rows.
	floor := s.engine.Floor()
	if at.incarnation != s.engine.Incarnation() || at.since > floor {
		at = cursor{incarnation: s.engine.Incarnation()}
	}
	began := at.changed != 0
	if !began {
		at.until = floor
		at.whole = at.whole || at.stale()
	}
	lines, moved := s.lines(by, at)
	limit = min(max(limit, 1), SyncMax)
	page := SyncPage{Incarnation: at.incarnation}
	switch {
	case len(lines) > limit:
		lines, page.More = lines[:limit], true
		last := lines[limit-1]
		at.changed, at.conversation = last.changed, last.conversation
	case began && moved && at.since < at.until: // under a clock that stands still it would not end
		page.More = true
		at = cursor{whole: at.whole, incarnation: at.incarnation, since: at.until}
	default:
		page.Authoritative = at.whole
		at = cursor{incarnation: at.incarnation, since: at.until}
	}
	page.Cursor = at.encode()
	page.Conversations = make([]State, len(lines))
	for i, l := range lines {
		st, _ := s.state(by, l.conversation)
		if st.Left {
			st.Changed = timeOf(l.changed)
		}
		page.Conversations[i] = st
	}
	return page, nil
}

// line is a conversation of a listing, before its state is looked at.
type line struct {
	changed      int64
	conversation parley.ConversationID
}

const hourMicros = 3_600_000_000

// lines are what a listing has yet to tell, newest first. moved says that
// something changed since it began.
func (s *Service) lines(by parley.Identity, at cursor) (lines []line, moved bool) {
	for _, listed := range s.engine.Conversations(by.User) {
		l := line{conversation: listed.Conversation}
		newest, member := s.changedAt(by, listed.Conversation)
		if member && !listed.Left {
			l.changed = newest
		} else {
			if at.stale() {
				continue
			}
			// By the hour: what happened within the hour of since may be new.
			l.changed = int64(listed.Hour) * hourMicros
			newest = l.changed + hourMicros - 1
		}
		if newest < at.since {
			continue
		}
		moved = moved || newest >= at.until
		if at.changed == 0 || l.compare(line{at.changed, at.conversation}) < 0 {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return b.compare(a) })
	return lines, moved
}

// changedAt is the stamp of a conversation's newest change, for its members.
func (s *Service) changedAt(by parley.Identity, c parley.ConversationID) (changed int64, ok bool) {
	s.viewPlace(by, c, func(row *conversation, m *member, _ parley.Seq) { changed, ok = row.changed, m.role != 0 })
	return changed, ok
}

// compare orders lines by change, and those of one stamp by conversation.
func (l line) compare(o line) int {
	if c := cmp.Compare(l.changed, o.changed); c != 0 {
		return c
	}
	return strings.Compare(string(l.conversation[:]), string(o.conversation[:]))
}

// state reports false for a conversation to which the user does not belong. If he
// did once, the state says with which version he left.
func (s *Service) state(by parley.Identity, c parley.ConversationID) (st State, ok bool) {
	st = State{Conversation: c, Left: true}
	s.viewPlace(by, c, func(row *conversation, m *member, last parley.Seq) {
		if ok = m.role != 0; ok {
			st = stateOf(c, row, m, last)
		} else {
			st.Version = m.left
		}
	})
	return st, ok
}

func stateOf(c parley.ConversationID, row *conversation, m *member, last parley.Seq) State {
	st := State{
		Conversation: c, Kind: row.kind, Title: row.title, Last: last, Version: row.version,
		Changed: timeOf(row.changed), Counts: row.counts(m), MarkedUnread: m.unread, Role: m.role,
		Marks: m.marks(),
	}
	if m.muted > 0 {
		st.MutedUntil = timeOf(m.muted)
	}
	if row.kind == parley.Direct {
		for i := range row.members {
			if o := &row.members[i]; o.user != m.user {
				st.Peer = Member{o.user, o.role, o.marks()}
			}
		}
	}
	return st
}

// State is what a list shows of one conversation. Who is no member is told
// parley.NotMember.
func (s *Service) State(by parley.Identity, c parley.ConversationID) (State, error) {
	st, ok := s.state(by, c)
	if !ok {
		return State{}, parley.NotMember
	}
	return st, nil
}
