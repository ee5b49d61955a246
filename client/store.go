package client

import (
	"errors"

	"github.com/parleychat/parley"
)

// Store keeps what a device must not lose: its outbox, and what it holds of its
// conversations. FileStore is for people, MemoryStore for tools and tests.
//
// A client is its only user. Messages may be called while Apply runs.
type Store interface {
	// Load returns everything but the messages.
	Load() (*Saved, error)
	// Apply makes all changes, or none. When it returns nil they are kept as
	// well as the store can: a FileStore's survive a power cut.
	Apply(*Changes) error
	// Messages returns the messages of a range in order, the first max of them.
	Messages(c parley.ConversationID, r parley.SeqRange, max int) ([]Message, error)
	// Close ends the use of the store.
	Close() error
}

// Saved is what a store holds besides messages.
type Saved struct {
	Meta          Meta
	Conversations []Conversation
	Lanes         []Lane
	Drafts        []Draft // by ID
}

// Meta is what a device remembers of its user and the server.
type Meta struct {
	User        string
	Device      parley.DeviceID // random, and the same for ever; zero in files that are older
	Incarnation parley.Incarnation
	// Restoring says that the incarnation is new and the first sync in it is not
	// complete.
	Restoring bool
	Cursor    []byte // of the next sync
	// Stream is given to conversations that begin; Streams are all that this
	// device has used, the newest last.
	Stream    parley.StreamID
	Streams   []parley.StreamID
	NextDraft uint64
	BodyMax   int // what the server takes in one message
}

// Lane is the outbox of one conversation: its stream, and the number of the
// next draft in it.
type Lane struct {
	Conversation parley.ConversationID
	Stream       parley.StreamID // 0: the next login gives one
	Next         parley.Number
	// Broken says that a number before Next was freed by a refusal and is not
	// used again yet, so the drafts behind it stand under numbers that the server
	// will not take.
	Broken bool
}

// Changes are applied to a store as one. What is gone or cut is taken away
// before messages are put.
type Changes struct {
	Meta          *Meta
	Conversations []Conversation
	Lanes         []Lane
	Drafts        []Draft
	Dropped       []uint64                // drafts
	Gone          []parley.ConversationID // conversations, with their messages
	Cut           []Cut                   // messages
	Messages      []Message
}

// Cut takes the messages of a range away.
type Cut struct {
	Conversation parley.ConversationID
	Range        parley.SeqRange
}

// empty reports whether there is nothing to apply.
func (c *Changes) empty() bool {
	return c.Meta == nil && len(c.Conversations) == 0 && len(c.Lanes) == 0 && len(c.Drafts) == 0 &&
		len(c.Dropped) == 0 && len(c.Gone) == 0 && len(c.Cut) == 0 && len(c.Messages) == 0
}

// Errors of a store.
var (
	// ErrInUse reports a file that another process has open.
	ErrInUse = errors.New("client: the store is in use by another process")
	// ErrFormat reports a file that is no store, or one of a newer version.
	ErrFormat = errors.New("client: unknown store format")
)
