package chat

import (
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/internal/mutant"
)

// Machine is the rules. It implements engine.Machine.
type Machine struct {
	// effects takes what a live apply has to tell; nil tells nobody.
	effects *effects
	// options are the Service's. Apply must not obey them; they are here so
	// that a test can prove that it would be noticed.
	options Options
}

// DecodeRow implements engine.Machine.
func (*Machine) DecodeRow(k engine.Key, b []byte) (engine.Row, error) {
	switch k.Table {
	case engine.TableConversation:
		return decodeConversation(b)
	case tableSubject:
		return decodeSubject(b)
	case tableUser:
		return decodeUser(b)
	case tableSettings:
		return decodeSettings(b)
	case tableAccount:
		return decodeAccount(b)
	case tableBeats:
		return decodeBeats(b)
	}
	return nil, fmt.Errorf("%w: row of table %d", engine.ErrCorrupt, k.Table)
}

// Apply implements engine.Machine.
func (m *Machine) Apply(tx *engine.Tx, c *engine.Command) engine.Result {
	if c.Version != commandVersion {
		return engine.Result{Code: parley.Unsupported}
	}
	d := decoder{b: c.Body}
	switch c.Kind {
	case kindSend:
		return m.send(tx, c)
	case kindMark:
		return m.mark(tx, c, &d)
	case kindCreate:
		return m.create(tx, c, &d)
	case kindAdd:
		return m.add(tx, c, &d)
	case kindRemove:
		return m.remove(tx, c, &d)
	case kindRole:
		return m.role(tx, c, &d)
	case kindPrefer:
		return m.prefer(tx, c, &d)
	case kindUser:
		return m.user(tx, c, &d)
	case kindSettings:
		return m.settings(tx, &d)
	case kindRename:
		return m.rename(tx, c, &d)
	}
	return m.applyAccount(tx, c, &d)
}

// applyAccount decides the commands about users and their devices.
func (m *Machine) applyAccount(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	switch c.Kind {
	case kindConnect:
		return m.connect(tx, c, d)
	case kindSeen:
		return m.seen(tx, c, d)
	case kindRevoke:
		return m.revoke(tx, c, d)
	case kindProfile:
		return m.profile(tx, c, d)
	case kindBeat:
		return m.beat(tx, d)
	}
	return engine.Result{Code: parley.Unsupported}
}

func refuse(c parley.Code) engine.Result { return engine.Result{Code: c} }

var settingsKey = engine.Key{Table: tableSettings}

// obeyedBy is what a partition obeys, as a reader sees it.
func obeyedBy(v *engine.View) settings {
	if slot := v.Find(settingsKey); slot != nil {
		return *slot.Row().(*settings)
	}
	return defaultSettings
}

func (m *Machine) obeyed(tx *engine.Tx) settings {
	s := defaultSettings
	if slot := tx.Find(settingsKey); slot != nil {
		s = *slot.Row().(*settings)
	}
	if mutant.On(mutant.OptionInApply) && m.options.BodyMax > 0 {
		s.bodyMax = uint32(m.options.BodyMax)
	}
	return s
}

func (m *Machine) settings(tx *engine.Tx, d *decoder) engine.Result {
	s := d.settings()
	if !d.whole() || s.bodyMax == 0 || s.groupMax < 2 || s.fanoutMax == 0 {
		return refuse(parley.BadRequest)
	}
	slot := tx.Find(settingsKey)
	if slot == nil {
		tx.Insert(settingsKey, s)
		return engine.Result{}
	}
	*tx.Change(slot).(*settings) = *s
	return engine.Result{}
}

// conversationOf finds the conversation of a command and its actor there.
func conversationOf(tx *engine.Tx, c *engine.Command, id parley.ConversationID, u parley.UserID) (*engine.Slot, *conversation, *member) {
	slot := tx.Find(engine.ConversationKey(id))
	if slot == nil {
		return nil, nil, nil
	}
	row := slot.Row().(*conversation)
	if row.tenant != c.Tenant {
		return nil, nil, nil
	}
	return slot, row, row.member(u)
}

// send gives a message its sequence.
func (m *Machine) send(tx *engine.Tx, c *engine.Command) engine.Result {
	if len(c.Body) < sendHeaderSize {
		return refuse(parley.BadRequest)
	}
	id := parley.ConversationID(c.Body[:16])
	from, stream, number, kind := sendOf(c.Body)
	slot, row, sender := conversationOf(tx, c, id, from)
	if sender == nil {
		return refuse(parley.NotMember)
	}
	if !kind.BySender() || number == 0 {
		return refuse(parley.BadRequest)
	}
	hash := sendHash(c.Body)
	if r := sender.streams.Decide(stream, number, hash); r.Code != parley.OK || r.Repeat {
		r.Version = row.version
		return r
	}
	if len(c.Body)-sendHeaderSize > int(m.obeyed(tx).bodyMax) {
		return refuse(parley.TooLarge)
	}
	tx.Change(slot)
	row.ordinal++
	seq := tx.Link(slot, row.ordinal)
	sender.own++
	sender.lastOwn = seq
	sender.streams.Accept(stream, number, seq, hash)
	m.changed(tx, id, row)
	if mutant.On(mutant.DiskInApply) && slot.OnDisk() {
		row.version++
	}
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// changed moves the version and, once an hour, the members' lists. From
// fanoutMax members on nothing moves per member: readers ask the conversation.
func (m *Machine) changed(tx *engine.Tx, id parley.ConversationID, row *conversation) {
	row.version++
	row.changed = tx.Time()
	hour := uint32(tx.Time() / 3_600_000_000)
	if row.hour == hour || m.large(tx, row) {
		return
	}
	row.hour = hour
	for i := range row.members {
		if row.members[i].role != 0 {
			tx.Touch(row.members[i].user, id)
		}
	}
}

// large reports whether a conversation has so many members that nothing moves
// for each of them.
func (m *Machine) large(tx *engine.Tx, row *conversation) bool {
	return row.present >= int(m.obeyed(tx).fanoutMax)
}

// create makes a conversation. A direct one made twice is one.
func (m *Machine) create(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, actor, kind := d.conversation(), d.user(), parley.ConversationKind(d.u8())
	title, users := d.text(), d.users()
	if !d.whole() || slices.Contains(users, actor) {
		return refuse(parley.BadRequest)
	}
	direct := kind == parley.Direct
	if direct && (len(users) != 1 || id != parley.DirectConversation(c.Tenant, actor, users[0])) || !direct && kind != parley.Group {
		return refuse(parley.BadRequest)
	}
	if slot := tx.Find(engine.ConversationKey(id)); slot != nil {
		if direct {
			return engine.Result{Repeat: true, Version: slot.Row().(*conversation).version}
		}
		return refuse(parley.AlreadyExists)
	}
	if len(users)+1 > int(m.obeyed(tx).groupMax) {
		return refuse(parley.GroupFull)
	}
	row := &conversation{tenant: c.Tenant, kind: kind, title: title, created: tx.Time()}
	slot := tx.Insert(engine.ConversationKey(id), row)
	var seq parley.Seq
	owner := parley.RoleMember
	if !direct {
		seq, owner = tx.Link(slot, 0), parley.RoleOwner
	}
	row.join(actor, owner, seq)
	for _, u := range users {
		if row.member(u) == nil {
			row.join(u, parley.RoleMember, seq)
		}
	}
	m.stampAll(tx, id, row)
	m.tell(tx, Told{Conversation: id, Seq: seq, Ordinal: row.ordinal, Version: row.version, command: c}, row)
	return engine.Result{Seq: seq, Version: row.version}
}

// stampAll puts a conversation into the list of each member, whatever its size.
func (m *Machine) stampAll(tx *engine.Tx, id parley.ConversationID, row *conversation) {
	row.hour = 0
	m.changed(tx, id, row)
	for i := range row.members {
		if row.members[i].role != 0 {
			tx.Touch(row.members[i].user, id)
		}
	}
}
