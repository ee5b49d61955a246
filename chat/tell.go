package chat

import (
	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Told is something that the members of a conversation hear of at once, if they
// are online. It is a hint: whoever misses it finds the same by sync.
type Told struct {
	Tenant       parley.TenantID
	Conversation parley.ConversationID
	Version      parley.Version
	Seq          parley.Seq     // of the message; 0 where there is none
	Ordinal      parley.Ordinal // of the message
	Message      parley.Message // set where Seq is; its body is valid until Deliver returns
	Marker       parley.UserID  // whose watermarks rose; zero where none did
	Marks        parley.Watermarks

	// To are the members at that point of the log, and who was just removed.
	// It is valid until Deliver returns.
	To []parley.UserID

	command  *engine.Command // valid inside Apply
	also     parley.UserID   // told, though no member any longer
	only     parley.UserID   // told alone
	from, to int             // of To, in effects.users
}

// Deliverer passes on what was applied to those who are online. It is called by
// the applier: it must neither wait nor keep what it is given.
type Deliverer interface {
	Deliver(told []Told)
}

// effects gathers what one group of the log has to tell. Its slices are used
// again for the next.
type effects struct {
	told  []Told
	users []parley.UserID
}

// tell notes something for the recipients at this point of the log.
func (m *Machine) tell(tx *engine.Tx, t Told, row *conversation) {
	if m.effects == nil || !tx.Live() {
		return
	}
	x := m.effects
	t.from = len(x.users)
	if !t.only.IsZero() {
		x.users = append(x.users, t.only)
	} else {
		for i := range row.members {
			if row.members[i].role != 0 {
				x.users = append(x.users, row.members[i].user)
			}
		}
		if !t.also.IsZero() {
			x.users = append(x.users, t.also)
		}
	}
	t.to = len(x.users)
	if t.Seq > 0 {
		t.Message, _ = view(t.Conversation, &engine.Message{Seq: t.Seq, Ordinal: t.Ordinal, Command: *t.command})
		t.Message.At = timeOf(tx.Time())
	}
	t.Tenant, t.command = row.tenant, nil
	x.told = append(x.told, t)
}

// deliver hands over what was gathered.
func (x *effects) deliver(to Deliverer) {
	if len(x.told) == 0 {
		return
	}
	for i := range x.told {
		t := &x.told[i]
		t.To = x.users[t.from:t.to:t.to]
	}
	to.Deliver(x.told)
	clear(x.told)
	x.told, x.users = x.told[:0], x.users[:0]
}
