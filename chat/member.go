package chat

import (
	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// group finds a group for a change of its members by an actor.
func group(tx *engine.Tx, c *engine.Command, id parley.ConversationID, actor parley.UserID) (*engine.Slot, *conversation, *member, parley.Code) {
	slot, row, by := conversationOf(tx, c, id, actor)
	if by == nil {
		return nil, nil, nil, parley.NotMember
	}
	if row.kind != parley.Group {
		return nil, nil, nil, parley.NotAllowed
	}
	return slot, row, by, parley.OK
}

// add makes users members. Who is one already stays as he is.
func (m *Machine) add(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, actor, users := d.conversation(), d.user(), d.users()
	if !d.whole() || len(users) == 0 {
		return refuse(parley.BadRequest)
	}
	slot, row, by, code := group(tx, c, id, actor)
	if code != parley.OK {
		return refuse(code)
	}
	if by.role < parley.RoleAdmin {
		return refuse(parley.NotAllowed)
	}
	fresh, places, code := newcomers(row, users)
	switch {
	case code != parley.OK:
		return refuse(code)
	case len(fresh) == 0:
		return engine.Result{Repeat: true, Version: row.version}
	case row.present+len(fresh) > int(m.obeyed(tx).groupMax) || len(row.members)+places > placesMax:
		return refuse(parley.GroupFull)
	}
	tx.Change(slot)
	seq := tx.Link(slot, row.ordinal)
	for _, u := range fresh {
		row.join(u, parley.RoleMember, seq)
		tx.Touch(u, id)
	}
	m.changed(tx, id, row)
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c, regrouped: true}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// newcomers are those of the users who are no members, each once, and how many
// of them have no place yet.
func newcomers(row *conversation, users []parley.UserID) (fresh []parley.UserID, places int, code parley.Code) {
	seen := make(map[parley.UserID]bool, len(users))
	for _, u := range users {
		if seen[u] {
			continue
		}
		seen[u] = true
		i, was := row.find(u)
		if was && row.members[i].role != 0 {
			continue
		}
		if was && len(row.members[i].belongs) >= intervalsMax {
			return nil, 0, parley.NotAllowed
		}
		if !was {
			places++
		}
		fresh = append(fresh, u)
	}
	return fresh, places, parley.OK
}

// remove ends a membership: an admin's decision, or the member's own.
func (m *Machine) remove(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, actor, who := d.conversation(), d.user(), d.user()
	if !d.whole() {
		return refuse(parley.BadRequest)
	}
	slot, row, by, code := group(tx, c, id, actor)
	if code != parley.OK {
		return refuse(code)
	}
	gone := row.member(who)
	if gone == nil {
		return refuse(parley.NotMember)
	}
	if actor != who && (by.role < parley.RoleAdmin || gone.role >= by.role) {
		return refuse(parley.NotAllowed)
	}
	tx.Change(slot)
	seq := tx.Link(slot, row.ordinal)
	wasOwner := gone.role == parley.RoleOwner
	row.leave(gone, seq)
	if wasOwner {
		row.handOver()
	}
	m.changed(tx, id, row)
	gone.left = row.version
	tx.Leave(who, id)
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c, also: who, regrouped: true}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// handOver finds a group an owner when it has none: the member of the highest
// role who has been there longest.
func (c *conversation) handOver() {
	var heir *member
	for i := range c.members {
		m := &c.members[i]
		switch {
		case m.role == 0:
		case m.role == parley.RoleOwner:
			return
		case heir == nil || m.role > heir.role || m.role == heir.role && m.since() < heir.since():
			heir = m
		}
	}
	if heir != nil {
		heir.role = parley.RoleOwner
	}
}

func (m *member) since() parley.Seq { return m.belongs[len(m.belongs)-1].From }

// role gives a member another role; only an owner may.
func (m *Machine) role(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, actor, who, role := d.conversation(), d.user(), d.user(), parley.Role(d.u8())
	if !d.whole() || role < parley.RoleMember || role > parley.RoleOwner {
		return refuse(parley.BadRequest)
	}
	slot, row, by, code := group(tx, c, id, actor)
	if code != parley.OK {
		return refuse(code)
	}
	target := row.member(who)
	switch {
	case target == nil:
		return refuse(parley.NotMember)
	case by.role != parley.RoleOwner:
		return refuse(parley.NotAllowed)
	case target.role == role:
		return engine.Result{Repeat: true, Version: row.version}
	}
	tx.Change(slot)
	target.role = role
	row.handOver()
	seq := tx.Link(slot, row.ordinal)
	m.changed(tx, id, row)
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// rename gives a group another title.
func (m *Machine) rename(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, actor, title := d.conversation(), d.user(), d.text()
	if !d.whole() || len(title) > titleMax {
		return refuse(parley.BadRequest)
	}
	slot, row, by, code := group(tx, c, id, actor)
	switch {
	case code != parley.OK:
		return refuse(code)
	case by.role < parley.RoleAdmin:
		return refuse(parley.NotAllowed)
	case row.title == title:
		return engine.Result{Repeat: true, Version: row.version}
	}
	tx.Change(slot)
	row.title = title
	seq := tx.Link(slot, row.ordinal)
	m.changed(tx, id, row)
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// prefer changes what a member sees for himself.
func (m *Machine) prefer(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, who, what, value := d.conversation(), d.user(), d.u8(), d.u64()
	if !d.whole() {
		return refuse(parley.BadRequest)
	}
	slot, row, by := conversationOf(tx, c, id, who)
	if by == nil {
		return refuse(parley.NotMember)
	}
	muted, unread := by.muted, by.unread
	switch {
	case what == preferMute && int64(value) >= 0:
		muted = int64(value)
	case what == preferUnread && value <= 1:
		unread = value == 1
	default:
		return refuse(parley.BadRequest)
	}
	if muted == by.muted && unread == by.unread {
		return engine.Result{Repeat: true, Version: row.version}
	}
	tx.Change(slot)
	by.muted, by.unread = muted, unread
	m.changed(tx, id, row)
	tx.Touch(who, id)
	m.tell(tx, Told{Conversation: id, Version: row.version, command: c, only: who}, row)
	return engine.Result{Version: row.version}
}
