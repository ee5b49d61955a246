package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/parleychat/parley"
)

// Message is a message as its readers see it. Users are named by the subject of
// their token.
type Message struct {
	Conversation parley.ConversationID
	Seq          parley.Seq
	From         string // empty for a user who was erased
	Stream       parley.StreamID
	Number       parley.Number
	Kind         parley.Kind
	At           time.Time
	Body         []byte
	Event        *SystemEvent // of parley.KindSystem
}

// Text is the body as text.
func (m Message) Text() string { return string(m.Body) }

// SystemEvent is what a message of parley.KindSystem tells.
type SystemEvent struct {
	Type  parley.EventType
	Users []string
	Role  parley.Role
	Title string
}

// Member is what members see of each other.
type Member struct {
	User    string
	Role    parley.Role // 0 for one who is no member any longer
	Name    string      // of his profile; empty if he gave none
	Picture string      // a reference, such as a URL; empty if he gave none
	parley.Watermarks
}

// Conversation is what a device knows of a conversation besides its messages.
// What the SDK hands out is a copy of one moment.
type Conversation struct {
	ID           parley.ConversationID
	Kind         parley.ConversationKind
	Title        string
	Changed      time.Time
	Role         parley.Role // the user's own
	MarkedUnread bool
	MutedUntil   time.Time // zero if not muted
	Left         bool      // the user belongs no longer; what is held stays readable

	// Last is the last sequence that the device has heard of, Held what it has,
	// and Tail the end of what it has told: above it, messages come as events.
	Last parley.Seq
	Held []parley.SeqRange
	Tail parley.Seq

	// Marks are the user's own watermarks. Those that the server has confirmed
	// may be lower while the device is offline.
	Marks     parley.Watermarks
	Confirmed parley.Watermarks

	// Members are the others, as far as the device has heard: the one of a direct
	// conversation, those of a group after Client.Members or a message of one's
	// own. Ticks are what all of them have: never lower than shown before.
	Members []Member
	Ticks   parley.Watermarks

	// Counts are as of the sequence Counted.
	Counts  parley.Counts
	Counted parley.Seq

	// Version is that of the newest state heard of, and Incarnation the store's
	// that it was heard from. Doubt is what was held of an earlier incarnation
	// and has not been compared yet.
	Version     parley.Version
	Incarnation parley.Incarnation
	Doubt       []parley.SeqRange
}

// Unread is how many messages the user has not read.
func (c Conversation) Unread() uint64 {
	if c.Left {
		return 0
	}
	return c.Counts.Unread()
}

// Peer is the other one of a direct conversation.
func (c Conversation) Peer() string {
	if c.Kind != parley.Direct || len(c.Members) == 0 {
		return ""
	}
	return c.Members[0].User
}

// Tick is how far a message of the user's own has come: Sent, Delivered or Read.
func (c Conversation) Tick(seq parley.Seq) Status {
	switch {
	case seq <= c.Ticks.Read:
		return Read
	case seq <= c.Ticks.Delivered:
		return Delivered
	}
	return Sent
}

// Status is how far a draft has come.
type Status uint8

// The states of a draft. Their numbers are stored; they never change.
const (
	Queued    Status = 1 // durable on this device
	Sent      Status = 2 // durable at the server: a message now
	Delivered Status = 3 // on a device of every other member
	Read      Status = 4 // seen by every other member
	Failed    Status = 5 // refused for good; see Draft.Err
)

var statusNames = [...]string{Queued: "queued", Sent: "sent", Delivered: "delivered", Read: "read", Failed: "failed"}

// String names the status in lower case.
func (s Status) String() string {
	if s == 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status(%d)", uint8(s))
	}
	return statusNames[s]
}

// ErrRestored reports an own message that was acknowledged, and is no longer
// there since the server was restored from an older copy.
var ErrRestored = errors.New("client: the server was restored and has lost this message")

// Draft is a message on its way. ID names it on this device for ever; stream and
// number name it to the server, and may change until it is sent.
type Draft struct {
	ID           uint64
	Conversation parley.ConversationID
	Stream       parley.StreamID // 0 before the first login
	Number       parley.Number
	Kind         parley.Kind
	Body         []byte // empty once it is sent
	Status       Status
	Seq          parley.Seq // once it is sent
	At           time.Time  // once it is sent

	// Of a failed draft: the server's code, and its explanation for a developer.
	Code   parley.Code
	Reason string
}

// Err says why a draft failed: a parley.Code, or ErrRestored. It is nil for
// every other.
func (d Draft) Err() error {
	switch {
	case d.Status != Failed:
		return nil
	case d.Code == parley.OK:
		return ErrRestored
	case d.Reason == "":
		return d.Code
	}
	return fmt.Errorf("%w: %s", d.Code, d.Reason)
}
