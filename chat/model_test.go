package chat

import (
	"slices"
	"strings"

	"github.com/parleychat/parley"
)

// model is the rules over plain lists: slow, and easy to believe.
type model struct {
	groupMax, fanoutMax int
	rooms               map[parley.ConversationID]*modelRoom
}

type modelRoom struct {
	direct bool
	title  string         // of a later name; empty for its first
	log    []modelMessage // of sequence 1, 2, 3, …
	places map[parley.UserID]*modelPlace
}

type modelMessage struct {
	from   parley.UserID
	stream parley.StreamID // 0 for a system message
	number parley.Number
	body   string
}

type modelPlace struct {
	role            parley.Role
	belongs         []parley.SeqRange
	delivered, read parley.Seq
	flagged         bool
	muted           int64
}

func (r *modelRoom) last() parley.Seq { return parley.Seq(len(r.log)) }

func (r *modelRoom) member(u parley.UserID) *modelPlace {
	if p := r.places[u]; p != nil && p.role != 0 {
		return p
	}
	return nil
}

func (r *modelRoom) size() (n int) {
	for _, p := range r.places {
		if p.role != 0 {
			n++
		}
	}
	return n
}

func (r *modelRoom) join(u parley.UserID, role parley.Role) {
	p := r.places[u]
	if p == nil {
		p = &modelPlace{}
		r.places[u] = p
	}
	p.role, p.flagged = role, false
	p.belongs = append(p.belongs, parley.SeqRange{From: max(r.last(), 1)})
	p.delivered, p.read = max(p.delivered, r.last()), max(p.read, r.last())
}

func (r *modelRoom) system(from parley.UserID) { r.log = append(r.log, modelMessage{from: from}) }

func (m *model) create(id parley.ConversationID, direct bool, by parley.UserID, others []parley.UserID) {
	r := &modelRoom{direct: direct, places: make(map[parley.UserID]*modelPlace)}
	m.rooms[id] = r
	role := parley.RoleMember
	if !direct {
		r.system(by)
		role = parley.RoleOwner
	}
	r.join(by, role)
	for _, u := range others {
		r.join(u, parley.RoleMember)
	}
}

// send returns the sequence of a message sent now or before, or the refusal.
func (m *model) send(id parley.ConversationID, msg modelMessage) (parley.Seq, parley.Code) {
	r := m.rooms[id]
	if r == nil || r.member(msg.from) == nil {
		return 0, parley.NotMember
	}
	newest := parley.Number(0)
	for i, old := range r.log {
		if old.from != msg.from || old.stream != msg.stream {
			continue
		}
		newest = old.number
		if old.number != msg.number {
			continue
		}
		if old.body != msg.body {
			return 0, parley.NumberReused
		}
		return parley.Seq(i + 1), parley.OK
	}
	if msg.number != newest+1 {
		return 0, parley.RetryInOrder
	}
	r.log = append(r.log, msg)
	return r.last(), parley.OK
}

func (m *model) mark(id parley.ConversationID, u parley.UserID, delivered, read parley.Seq) parley.Code {
	r := m.rooms[id]
	if r == nil || r.member(u) == nil {
		return parley.NotMember
	}
	p := r.member(u)
	delivered, read = min(delivered, r.last()), min(read, r.last())
	if r.size() < m.fanoutMax {
		p.delivered = max(p.delivered, delivered)
		if read > p.read {
			p.delivered = max(p.delivered, read)
		}
	}
	if read > p.read {
		p.read, p.flagged = read, false
	}
	return parley.OK
}

// group finds a group and an actor in it for a change of its members.
func (m *model) group(id parley.ConversationID, by parley.UserID) (*modelRoom, *modelPlace, parley.Code) {
	r := m.rooms[id]
	switch {
	case r == nil || r.member(by) == nil:
		return nil, nil, parley.NotMember
	case r.direct:
		return nil, nil, parley.NotAllowed
	}
	return r, r.member(by), parley.OK
}

func (m *model) add(id parley.ConversationID, by parley.UserID, users []parley.UserID) parley.Code {
	r, actor, code := m.group(id, by)
	if code != parley.OK {
		return code
	}
	if actor.role < parley.RoleAdmin {
		return parley.NotAllowed
	}
	var fresh []parley.UserID
	for _, u := range users {
		if r.member(u) == nil && !slices.Contains(fresh, u) {
			fresh = append(fresh, u)
		}
	}
	if len(fresh) == 0 {
		return parley.OK
	}
	if r.size()+len(fresh) > m.groupMax {
		return parley.GroupFull
	}
	r.system(by)
	for _, u := range fresh {
		r.join(u, parley.RoleMember)
	}
	return parley.OK
}

func (m *model) remove(id parley.ConversationID, by, who parley.UserID) parley.Code {
	r, actor, code := m.group(id, by)
	if code != parley.OK {
		return code
	}
	gone := r.member(who)
	switch {
	case gone == nil:
		return parley.NotMember
	case by != who && (actor.role < parley.RoleAdmin || gone.role >= actor.role):
		return parley.NotAllowed
	}
	r.system(by)
	gone.role = 0
	gone.belongs[len(gone.belongs)-1].To = r.last()
	r.inherit()
	return parley.OK
}

func (m *model) role(id parley.ConversationID, by, who parley.UserID, role parley.Role) parley.Code {
	r, actor, code := m.group(id, by)
	if code != parley.OK {
		return code
	}
	target := r.member(who)
	switch {
	case target == nil:
		return parley.NotMember
	case actor.role != parley.RoleOwner:
		return parley.NotAllowed
	case target.role == role:
		return parley.OK
	}
	target.role = role
	r.inherit()
	r.system(by)
	return parley.OK
}

func (m *model) rename(id parley.ConversationID, by parley.UserID, title string) parley.Code {
	r, actor, code := m.group(id, by)
	switch {
	case code != parley.OK:
		return code
	case actor.role < parley.RoleAdmin:
		return parley.NotAllowed
	case r.title == title:
		return parley.OK
	}
	r.title = title
	r.system(by)
	return parley.OK
}

// inherit gives a group without an owner to the member of the highest role, of
// those to the one there longest, of those to the lowest id.
func (r *modelRoom) inherit() {
	var heirs []parley.UserID
	for u, p := range r.places {
		if p.role == parley.RoleOwner {
			return
		}
		if p.role != 0 {
			heirs = append(heirs, u)
		}
	}
	since := func(u parley.UserID) parley.Seq { b := r.places[u].belongs; return b[len(b)-1].From }
	slices.SortFunc(heirs, func(a, b parley.UserID) int {
		switch {
		case r.places[a].role != r.places[b].role:
			return int(r.places[b].role) - int(r.places[a].role)
		case since(a) != since(b):
			return int(since(a)) - int(since(b))
		}
		return strings.Compare(string(a[:]), string(b[:]))
	})
	if len(heirs) > 0 {
		r.places[heirs[0]].role = parley.RoleOwner
	}
}

// unread counts what a member has not read, message by message.
func (r *modelRoom) unread(u parley.UserID) (n uint64) {
	p := r.member(u)
	since := p.belongs[len(p.belongs)-1].From
	for i, m := range r.log {
		if seq := parley.Seq(i + 1); seq > p.read && seq >= since && m.stream != 0 && m.from != u {
			n++
		}
	}
	return n
}

// ordinal counts the messages up to one that count.
func (r *modelRoom) ordinal(to parley.Seq) (n parley.Ordinal) {
	for _, m := range r.log[:to] {
		if m.stream != 0 {
			n++
		}
	}
	return n
}

// sees reports whether a user belonged when a message was sent.
func (r *modelRoom) sees(u parley.UserID, seq parley.Seq) bool {
	for _, b := range r.places[u].belongs {
		if seq >= b.From && (b.To == 0 || seq <= b.To) {
			return true
		}
	}
	return false
}
