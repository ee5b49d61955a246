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
	ReadRose     bool       // with Marker: not the delivered watermark alone
	Last         parley.Seq // with Marker: of the conversation

	// Origin is that of the Batch that brought it, 0 for other calls.
	Origin uint64

	// To are the members at that point of the log, and who was just removed.
	// It is valid until Deliver returns.
	To []parley.UserID

	command   *engine.Command // valid inside Apply
	also      parley.UserID   // told, though no member any longer
	only      parley.UserID   // told alone
	regrouped bool            // members joined or left with it
	from, to  int             // of To, in effects.users
}

// Deliverer passes on what was applied to those who are online. It is called by
// the applier: it must neither wait nor keep what it is given.
type Deliverer interface {
	Deliver(told []Told)
	// Delivered follows when the batches that brought it are done too: whoever
	// gathers what he passes on lets it leave now.
	Delivered()
}

// effects gathers what one group of the log has to tell. Its memory is used again
// for the next.
type effects struct {
	told  []Told
	users []parley.UserID
	lists map[parley.ConversationID]list // of large conversations, in this group
}

// list is where a conversation's members stand in effects.users.
type list struct{ from, to int }

// A conversation of so many members is listed once for a whole group of the log,
// unless they change: a group may hold thousands of its messages. Lists of more
// than usersKeptMax are not kept for the next group.
const (
	listedOnceMin = 16
	usersKeptMax  = 1 << 20
)

// tell notes something for the recipients at this point of the log.
func (m *Machine) tell(tx *engine.Tx, t Told, row *conversation) {
	if m.effects == nil || !tx.Live() {
		return
	}
	x := m.effects
	if t.only.IsZero() {
		t.from, t.to = x.members(&t, row)
	} else {
		t.from = len(x.users)
		x.users = append(x.users, t.only)
		t.to = len(x.users)
	}
	if t.Seq > 0 {
		t.Message, _ = view(t.Conversation, &engine.Message{Seq: t.Seq, Ordinal: t.Ordinal, Command: *t.command})
		t.Message.At = timeOf(tx.Time())
	}
	t.Tenant, t.Origin, t.command = row.tenant, tx.Origin(), nil
	x.told = append(x.told, t)
}

// members lists the members of a conversation, and who else is told.
func (x *effects) members(t *Told, row *conversation) (from, to int) {
	once := row.present >= listedOnceMin && t.also.IsZero()
	if l, ok := x.lists[t.Conversation]; ok && once && !t.regrouped {
		return l.from, l.to
	}
	from = len(x.users)
	for i := range row.members {
		if row.members[i].role != 0 {
			x.users = append(x.users, row.members[i].user)
		}
	}
	if !t.also.IsZero() {
		x.users = append(x.users, t.also)
	}
	to = len(x.users)
	switch {
	case once && x.lists == nil:
		x.lists = map[parley.ConversationID]list{t.Conversation: {from, to}}
	case once:
		x.lists[t.Conversation] = list{from, to}
	default:
		delete(x.lists, t.Conversation)
	}
	return from, to
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
	clear(x.lists)
	x.told, x.users = x.told[:0], x.users[:0]
	if cap(x.users) > usersKeptMax {
		x.users = nil
	}
}
