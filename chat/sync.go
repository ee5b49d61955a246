package chat

import (
	"encoding/binary"
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
	// by History; the other fields are empty but Changed, by the hour.
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
	// Authoritative, on a last page: all there is has been listed. What the
	// device holds besides is gone.
	Authoritative bool
}

// SyncMax bounds the conversations of a page.
const SyncMax = 200

// tombstones is how long a conversation that was left is told of.
const tombstones = 90 * 24 * time.Hour

// A cursor, little-endian: incarnation (8), since (8), until (8), and of the
// last conversation listed its change (8) and id (16). since is the stamp from
// which changes are told; until is the next sync's since; a zero change means
// that the listing has not begun.
type cursor struct {
	incarnation  parley.Incarnation
	since, until int64
	changed      int64
	conversation parley.ConversationID
}

const cursorSize = 4*8 + 16

func (c cursor) encode() Cursor {
	b := binary.LittleEndian.AppendUint64(nil, uint64(c.incarnation))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.since))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.until))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.changed))
	return append(b, c.conversation[:]...)
}

func (b Cursor) decode() (cursor, error) {
	if len(b) != cursorSize {
		return cursor{}, fmt.Errorf("%w: cursor of %d bytes", parley.BadRequest, len(b))
	}
	d := decoder{b: b}
	return cursor{
		incarnation: parley.Incarnation(d.u64()), since: int64(d.u64()), until: int64(d.u64()),
		changed: int64(d.u64()), conversation: d.conversation(),
	}, nil
}

// Sync tells a device which conversations may have changed since its cursor. An
// empty cursor, one from before a restore and one from the future tell
// everything.
func (s *Service) Sync(by parley.Identity, from Cursor, limit int) (SyncPage, error) {
	at := cursor{}
	if len(from) > 0 {
		var err error
		if at, err = from.decode(); err != nil {
			return SyncPage{}, err
		}
	}
	floor := s.engine.Floor()
	if at.incarnation != s.engine.Incarnation() || at.since > floor {
		at = cursor{incarnation: s.engine.Incarnation()}
	}
	if at.changed == 0 {
		at.until = floor
	}
	limit = min(max(limit, 1), SyncMax)
	states := s.changed(by, at)
	page := SyncPage{Incarnation: at.incarnation}
	if len(states) > limit {
		states, page.More = states[:limit], true
	}
	page.Conversations = states
	if page.More {
		last := states[len(states)-1]
		at.changed, at.conversation = last.Changed.UnixMicro(), last.Conversation
	} else {
		page.Authoritative = at.since < floor-tombstones.Microseconds()
		at = cursor{incarnation: at.incarnation, since: at.until}
	}
	page.Cursor = at.encode()
	return page, nil
}

// changed lists what a page may hold, in the order newest first.
func (s *Service) changed(by parley.Identity, at cursor) []State {
	var states []State
	for _, l := range s.engine.Conversations(by.User) {
		st, ok := s.state(by, l.Conversation)
		if !ok || l.Left {
			st = State{Conversation: l.Conversation, Left: true, Changed: timeOf(int64(l.Hour) * 3_600_000_000)}
			// By the hour: what happened within the hour of since may be new.
			if int64(l.Hour+1)*3_600_000_000 <= at.since || at.since < s.engine.Floor()-tombstones.Microseconds() {
				continue
			}
		} else if st.Changed.UnixMicro() < at.since {
			continue
		}
		states = append(states, st)
	}
	slices.SortFunc(states, func(a, b State) int {
		return -compareChange(a.Changed.UnixMicro(), a.Conversation, b.Changed.UnixMicro(), b.Conversation)
	})
	if at.changed == 0 {
		return states
	}
	i, _ := slices.BinarySearchFunc(states, at, func(st State, at cursor) int {
		return -compareChange(st.Changed.UnixMicro(), st.Conversation, at.changed, at.conversation)
	})
	for i < len(states) && states[i].Changed.UnixMicro() == at.changed && states[i].Conversation == at.conversation {
		i++
	}
	return states[i:]
}

func compareChange(a int64, c parley.ConversationID, b int64, d parley.ConversationID) int {
	if a != b {
		if a < b {
			return -1
		}
		return 1
	}
	return strings.Compare(string(c[:]), string(d[:]))
}

// state reports false for a conversation to which the user does not belong.
func (s *Service) state(by parley.Identity, c parley.ConversationID) (st State, ok bool) {
	ok = s.viewMember(by, c, func(row *conversation, m *member, last parley.Seq) {
		st = State{
			Conversation: c, Kind: row.kind, Title: row.title, Last: last, Version: row.version,
			Changed: timeOf(row.changed), Counts: row.counts(m), MarkedUnread: m.unread, Role: m.role,
			Marks: parley.Watermarks{Delivered: m.delivered, Read: m.read},
		}
		if m.muted > 0 {
			st.MutedUntil = timeOf(m.muted)
		}
		if row.kind == parley.Direct {
			for i := range row.members {
				if o := &row.members[i]; o.user != by.User {
					st.Peer = Member{o.user, o.role, parley.Watermarks{Delivered: o.delivered, Read: o.read}}
				}
			}
		}
	})
	return st, ok
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
