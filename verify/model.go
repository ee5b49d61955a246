package verify

import (
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/parleychat/parley"
)

// Model is the rules of chat over plain lists: slow, and easy to believe. It is
// the judge of what the server derives.
type Model struct {
	Conversations map[parley.ConversationID]*Conversation
	Users         map[string]parley.UserID // by tenant and subject
	settings      map[parley.PartitionID]settings
	taken         map[parley.UserID]bool
	partitions    int // of the store; 0: not known
}

// Conversation is everything that ever happened in one.
type Conversation struct {
	Tenant   parley.TenantID
	Kind     parley.ConversationKind
	Title    string
	Messages []Message // of sequence 1, 2, 3, …
	Members  map[parley.UserID]*Member

	own map[parley.UserID][]parley.Seq // who sent which of those that count
}

// Message is what the model keeps of a message.
type Message struct {
	Index  uint64
	From   parley.UserID
	Stream parley.StreamID // 0 for a system message
	Number parley.Number
	Hash   uint32
	Counts bool

	ordinal parley.Ordinal // how many count up to it
}

// Member is a user's place.
type Member struct {
	Role      parley.Role // 0: gone
	Belongs   []parley.SeqRange
	Delivered parley.Seq
	Read      parley.Seq
	Unread    bool
	Muted     int64

	streams   []stream // the longest unused first
	forgotten uint32
}

type stream struct {
	id   parley.StreamID
	last parley.Number
	seq  parley.Seq
	hash uint32
}

type settings struct {
	bodyMax   uint32
	groupMax  uint16
	fanoutMax uint16
}

var defaultSettings = settings{60 << 10, 500, 50}

// NewModel is a store in which nothing has happened.
func NewModel() *Model {
	return &Model{
		Conversations: make(map[parley.ConversationID]*Conversation),
		Users:         make(map[string]parley.UserID),
		settings:      make(map[parley.PartitionID]settings),
		taken:         make(map[parley.UserID]bool),
	}
}

func (m *Model) obeyed(p parley.PartitionID) settings {
	if s, ok := m.settings[p]; ok {
		return s
	}
	return defaultSettings
}

// Apply decides a command as the server must. It returns the sequence given, 0
// for none, and the refusal.
func (m *Model) Apply(c *Command) (parley.Seq, parley.Code) {
	switch b := c.Body.(type) {
	case *Settings:
		if b.BodyMax == 0 || b.GroupMax < 2 || b.FanoutMax == 0 {
			return 0, parley.BadRequest
		}
		m.settings[c.Partition] = settings{b.BodyMax, b.GroupMax, b.FanoutMax}
		return 0, parley.OK
	case *User:
		return 0, m.user(c, b)
	case *Create:
		return m.create(c, b)
	case *Add:
		return m.add(c, b)
	case *Remove:
		return m.remove(c, b)
	case *Role:
		return m.role(c, b)
	case *Send:
		return m.send(c, b)
	case *Mark:
		return 0, m.mark(c, b)
	case *Prefer:
		return 0, m.prefer(c, b)
	case *Rename:
		return m.rename(c, b)
	case *Account:
		return 0, parley.OK
	}
	return 0, parley.Unsupported
}

// user needs both rows of a user in the command's partition.
func (m *Model) user(c *Command, b *User) parley.Code {
	if b.Subject == "" {
		return parley.BadRequest
	}
	if m.partitions > 0 && (partitionOf(m.partitions, 0, subjectHash(c.Tenant, b.Subject)) != c.Partition ||
		partitionOf(m.partitions, 0, b.User) != c.Partition) {
		return parley.BadRequest
	}
	key := userKey(c.Tenant, b.Subject)
	if _, ok := m.Users[key]; ok {
		return parley.OK
	}
	if m.taken[b.User] {
		return parley.AlreadyExists
	}
	m.Users[key], m.taken[b.User] = b.User, true
	return parley.OK
}

func userKey(t parley.TenantID, subject string) string { return fmt.Sprintf("%d/%s", t, subject) }

// conversation finds one of the tenant, with a user who belongs to it now.
func (m *Model) conversation(c *Command, id parley.ConversationID, u parley.UserID) (*Conversation, *Member) {
	conv := m.Conversations[id]
	if conv == nil || conv.Tenant != c.Tenant {
		return nil, nil
	}
	who := conv.Members[u]
	if who == nil || who.Role == 0 {
		return nil, nil
	}
	return conv, who
}

func (conv *Conversation) system(c *Command, from parley.UserID) parley.Seq {
	return conv.append(Message{Index: c.Index, From: from})
}

func (conv *Conversation) append(m Message) parley.Seq {
	if n := len(conv.Messages); n > 0 {
		m.ordinal = conv.Messages[n-1].ordinal
	}
	if m.Counts {
		m.ordinal++
		conv.own[m.From] = append(conv.own[m.From], conv.last()+1)
	}
	conv.Messages = append(conv.Messages, m)
	return conv.last()
}

func (conv *Conversation) last() parley.Seq { return parley.Seq(len(conv.Messages)) }

func (conv *Conversation) join(u parley.UserID, r parley.Role, seq parley.Seq) {
	who := conv.Members[u]
	if who == nil {
		who = &Member{}
		conv.Members[u] = who
	}
	who.Role = r
	who.Belongs = append(who.Belongs, parley.SeqRange{From: max(seq, 1)})
	who.Delivered, who.Read = max(who.Delivered, seq), max(who.Read, seq)
	who.Unread = false
}

func (m *Model) create(c *Command, b *Create) (parley.Seq, parley.Code) {
	if b.Kind == parley.Direct {
		if len(b.Users) != 1 || b.Conversation != parley.DirectConversation(c.Tenant, b.Actor, b.Users[0]) || b.Users[0] == b.Actor {
			return 0, parley.BadRequest
		}
	} else if b.Kind != parley.Group || slices.Contains(b.Users, b.Actor) {
		return 0, parley.BadRequest
	}
	if m.Conversations[b.Conversation] != nil {
		if b.Kind == parley.Direct {
			return 0, parley.OK
		}
		return 0, parley.AlreadyExists
	}
	if len(b.Users)+1 > int(m.obeyed(c.Partition).groupMax) {
		return 0, parley.GroupFull
	}
	conv := &Conversation{
		Tenant: c.Tenant, Kind: b.Kind, Title: b.Title,
		Members: make(map[parley.UserID]*Member), own: make(map[parley.UserID][]parley.Seq),
	}
	m.Conversations[b.Conversation] = conv
	if b.Kind == parley.Direct {
		conv.join(b.Actor, parley.RoleMember, 0)
		conv.join(b.Users[0], parley.RoleMember, 0)
		return 0, parley.OK
	}
	seq := conv.system(c, b.Actor)
	conv.join(b.Actor, parley.RoleOwner, seq)
	for _, u := range b.Users {
		if conv.Members[u] == nil {
			conv.join(u, parley.RoleMember, seq)
		}
	}
	return seq, parley.OK
}

func (m *Model) add(c *Command, b *Add) (parley.Seq, parley.Code) {
	conv, by := m.conversation(c, b.Conversation, b.Actor)
	switch {
	case len(b.Users) == 0:
		return 0, parley.BadRequest
	case conv == nil:
		return 0, parley.NotMember
	case conv.Kind != parley.Group || by.Role < parley.RoleAdmin:
		return 0, parley.NotAllowed
	}
	fresh := make(map[parley.UserID]bool)
	for _, u := range b.Users {
		who := conv.Members[u]
		if who != nil && who.Role != 0 {
			continue
		}
		if who != nil && len(who.Belongs) >= 200 {
			return 0, parley.NotAllowed
		}
		fresh[u] = true
	}
	if len(fresh) == 0 {
		return 0, parley.OK
	}
	if conv.size()+len(fresh) > int(m.obeyed(c.Partition).groupMax) || conv.places(fresh) > 10_000 {
		return 0, parley.GroupFull
	}
	seq := conv.system(c, b.Actor)
	for u := range fresh {
		conv.join(u, parley.RoleMember, seq)
	}
	return seq, parley.OK
}

// places counts those who have a place, now or since before, with some more.
func (conv *Conversation) places(more map[parley.UserID]bool) int {
	n := len(conv.Members)
	for u := range more {
		if conv.Members[u] == nil {
			n++
		}
	}
	return n
}

func (conv *Conversation) size() int {
	n := 0
	for _, who := range conv.Members {
		if who.Role != 0 {
			n++
		}
	}
	return n
}

func (m *Model) remove(c *Command, b *Remove) (parley.Seq, parley.Code) {
	conv, by := m.conversation(c, b.Conversation, b.Actor)
	if conv == nil {
		return 0, parley.NotMember
	}
	if conv.Kind != parley.Group {
		return 0, parley.NotAllowed
	}
	_, gone := m.conversation(c, b.Conversation, b.Member)
	if gone == nil {
		return 0, parley.NotMember
	}
	if b.Actor != b.Member && (by.Role < parley.RoleAdmin || gone.Role >= by.Role) {
		return 0, parley.NotAllowed
	}
	seq := conv.system(c, b.Actor)
	owned := gone.Role == parley.RoleOwner
	gone.Role = 0
	gone.Belongs[len(gone.Belongs)-1].To = seq
	if owned {
		conv.handOver()
	}
	return seq, parley.OK
}

// handOver gives an ownerless group to the member of the highest role, among
// those to the one there longest, among those to the lowest id.
func (conv *Conversation) handOver() {
	var users []parley.UserID
	for u, who := range conv.Members {
		if who.Role == parley.RoleOwner {
			return
		}
		if who.Role != 0 {
			users = append(users, u)
		}
	}
	if len(users) == 0 {
		return
	}
	slices.SortFunc(users, func(a, b parley.UserID) int {
		x, y := conv.Members[a], conv.Members[b]
		if x.Role != y.Role {
			return int(y.Role) - int(x.Role)
		}
		if d := int(x.Belongs[len(x.Belongs)-1].From) - int(y.Belongs[len(y.Belongs)-1].From); d != 0 {
			return d
		}
		return slices.Compare(a[:], b[:])
	})
	conv.Members[users[0]].Role = parley.RoleOwner
}

func (m *Model) role(c *Command, b *Role) (parley.Seq, parley.Code) {
	if b.Role < parley.RoleMember || b.Role > parley.RoleOwner {
		return 0, parley.BadRequest
	}
	conv, by := m.conversation(c, b.Conversation, b.Actor)
	if conv == nil {
		return 0, parley.NotMember
	}
	if conv.Kind != parley.Group {
		return 0, parley.NotAllowed
	}
	_, target := m.conversation(c, b.Conversation, b.Member)
	switch {
	case target == nil:
		return 0, parley.NotMember
	case by.Role != parley.RoleOwner:
		return 0, parley.NotAllowed
	case target.Role == b.Role:
		return 0, parley.OK
	}
	target.Role = b.Role
	conv.handOver()
	return conv.system(c, b.Actor), parley.OK
}

func (m *Model) rename(c *Command, b *Rename) (parley.Seq, parley.Code) {
	if len(b.Title) > 200 {
		return 0, parley.BadRequest
	}
	conv, by := m.conversation(c, b.Conversation, b.Actor)
	switch {
	case conv == nil:
		return 0, parley.NotMember
	case conv.Kind != parley.Group || by.Role < parley.RoleAdmin:
		return 0, parley.NotAllowed
	case conv.Title == b.Title:
		return 0, parley.OK
	}
	conv.Title = b.Title
	return conv.system(c, b.Actor), parley.OK
}

const streamsMax = 8

func (m *Model) send(c *Command, b *Send) (parley.Seq, parley.Code) {
	conv, from := m.conversation(c, b.Conversation, b.From)
	if conv == nil {
		return 0, parley.NotMember
	}
	if !b.Kind.BySender() || b.Number == 0 {
		return 0, parley.BadRequest
	}
	at := slices.IndexFunc(from.streams, func(s stream) bool { return s.id == b.Stream })
	switch {
	case at < 0 && from.forgotten != 0 && b.Stream.Birth() <= from.forgotten:
		return 0, parley.ResendUnknown
	case at < 0 && b.Number != 1:
		return 0, parley.RetryInOrder
	case at >= 0 && b.Number > from.streams[at].last+1:
		return 0, parley.RetryInOrder
	case at >= 0 && b.Number == from.streams[at].last && b.Hash != from.streams[at].hash:
		return 0, parley.NumberReused
	case at >= 0 && b.Number <= from.streams[at].last:
		return 0, parley.OK
	case b.Size > int(m.obeyed(c.Partition).bodyMax):
		return 0, parley.TooLarge
	}
	conv.append(Message{Index: c.Index, From: b.From, Stream: b.Stream, Number: b.Number, Hash: b.Hash, Counts: true})
	if at >= 0 {
		from.streams = slices.Delete(from.streams, at, at+1)
	} else if len(from.streams) == streamsMax {
		from.forgotten = max(from.forgotten, from.streams[0].id.Birth(), 1)
		from.streams = from.streams[1:]
	}
	from.streams = append(from.streams, stream{b.Stream, b.Number, conv.last(), b.Hash})
	return conv.last(), parley.OK
}

func (m *Model) mark(c *Command, k *Mark) parley.Code {
	conv, who := m.conversation(c, k.Conversation, k.User)
	switch {
	case conv == nil:
		return parley.NotMember
	case k.Read > conv.last() || k.Delivered > conv.last():
		return parley.BadRequest
	}
	if ordinal, own := conv.count(k.User, conv.last()); k.Ordinal > ordinal || k.Own > own {
		return parley.BadRequest
	}
	if conv.size() < int(m.obeyed(c.Partition).fanoutMax) {
		who.Delivered = max(who.Delivered, k.Delivered, k.Read)
	}
	if k.Read > who.Read {
		who.Read, who.Unread = k.Read, false
	}
	return parley.OK
}

// count is how many messages up to a sequence count, and how many of them are a
// user's own.
func (conv *Conversation) count(u parley.UserID, to parley.Seq) (ordinal parley.Ordinal, own uint64) {
	if to == 0 {
		return 0, 0
	}
	n, _ := slices.BinarySearch(conv.own[u], to+1)
	return conv.Messages[to-1].ordinal, uint64(n)
}

func (m *Model) prefer(c *Command, b *Prefer) parley.Code {
	conv, who := m.conversation(c, b.Conversation, b.User)
	switch {
	case conv == nil:
		return parley.NotMember
	case b.What == 1 && int64(b.Value) >= 0:
		who.Muted = int64(b.Value)
	case b.What == 2 && b.Value <= 1:
		who.Unread = b.Value == 1
	default:
		return parley.BadRequest
	}
	return parley.OK
}

// CountUnread counts again: messages after the read watermark, by others, that
// count, inside the present interval.
func (conv *Conversation) CountUnread(u parley.UserID) uint64 {
	who := conv.Members[u]
	if who == nil || who.Role == 0 {
		return 0
	}
	n := uint64(0)
	for i, m := range conv.Messages {
		seq := parley.Seq(i + 1)
		if seq > who.Read && seq >= who.Belongs[len(who.Belongs)-1].From && m.Counts && m.From != u {
			n++
		}
	}
	return n
}

// Find is the sequence of what a user sent under (stream, number), 0 for none.
func (conv *Conversation) Find(from parley.UserID, s parley.StreamID, n parley.Number) parley.Seq {
	for i, m := range conv.Messages {
		if m.From == from && m.Stream == s && m.Number == n && m.Counts {
			return parley.Seq(i + 1)
		}
	}
	return 0
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
