package client

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/parleychat/parley"
)

// Event is something that an app shows: one of the types below.
type Event interface{ event() }

// Received brings the next messages of a conversation, one's own among them.
// They follow those of the last Received of this conversation without a gap,
// but for Hole.
type Received struct {
	Conversation parley.ConversationID
	// Hole is sequences before the messages that the device does not hold,
	// because too many were missed; Client.History reads them. Mostly it is empty.
	Hole     parley.SeqRange
	Messages []Message
}

// Changed says that the list shows something new of a conversation: its state,
// ticks, unread count, members.
type Changed struct{ Conversation Conversation }

// Gone says that a conversation is no longer there for this user.
type Gone struct{ Conversation parley.ConversationID }

// DraftChanged says that a draft was sent or has failed.
type DraftChanged struct{ Draft Draft }

// Restored says that the server was restored from an older copy, and that
// messages of this conversation from a sequence on are no longer what was
// shown. Those that this device had sent come as failed drafts with ErrRestored;
// what is there instead comes as Received.
type Restored struct {
	Conversation parley.ConversationID
	From         parley.Seq
}

// PresenceChanged says that somebody of a watched conversation came, went, or is
// not shown any more. See Client.Watch.
type PresenceChanged struct{ Presence Presence }

// TypingChanged says who else writes in a watched conversation now: a user is
// left out again when he stopped, his message came, or 6 seconds passed. See
// Client.Watch.
type TypingChanged struct {
	Conversation parley.ConversationID
	Users        []string // sorted; empty when nobody writes any more
}

// ProfileChanged brings the profile of somebody of a watched conversation, or
// of the user himself, who changed it on some device.
type ProfileChanged struct{ Profile Profile }

// Connection says whether the client is connected, and in step with the server.
type Connection struct {
	Online bool
	// Synced says that what the device shows is up to date.
	Synced bool
	// Err is why there is no connection. The client goes on trying.
	Err error
}

// Stopped is the last event of a client that gave up: its token was refused
// twice, the user has shut the device out (ErrRevoked), the server says that the
// client is broken, or the store has failed.
type Stopped struct{ Err error }

func (Received) event()        {}
func (Changed) event()         {}
func (Gone) event()            {}
func (DraftChanged) event()    {}
func (Restored) event()        {}
func (PresenceChanged) event() {}
func (TypingChanged) event()   {}
func (ProfileChanged) event()  {}
func (Connection) event()      {}
func (Stopped) event()         {}

// note is an event that waits. It says what to look at, not what was seen, so
// notes of one thing merge: their number is bounded by what the device holds,
// however slow the consumer is.
type note struct {
	kind         noteKind
	conversation parley.ConversationID
	draft        uint64
	user         string
}

type noteKind uint8

const (
	noteReceived noteKind = iota + 1
	noteChanged
	noteGone
	noteRestored
	noteDraft
	noteConnection
	notePresence
	noteTyping
	noteProfile
)

// notes are what a consumer has not taken yet, the oldest first.
type notes struct {
	mu      sync.Mutex // guards below
	order   []note
	waiting map[note]bool
	ended   bool

	ready chan struct{} // holds a value when there may be something to take
}

func newNotes() *notes {
	return &notes{waiting: make(map[note]bool), ready: make(chan struct{}, 1)}
}

// add notes something, once.
func (n *notes) add(all ...note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range all {
		if !n.waiting[x] {
			n.waiting[x] = true
			n.order = append(n.order, x)
		}
	}
	n.signal()
}

// end has the consumer's loop end once it has taken what waits.
func (n *notes) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	n.signal()
}

func (n *notes) signal() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// forget drops a note that has nothing to tell any longer.
func (n *notes) forget(x note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.waiting[x] {
		return
	}
	delete(n.waiting, x)
	for i := range n.order {
		if n.order[i] == x {
			n.order = append(n.order[:i], n.order[i+1:]...)
			return
		}
	}
}

// take removes the oldest.
func (n *notes) take() (x note, ok, ended bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.order) == 0 {
		return x, false, n.ended
	}
	x = n.order[0]
	n.order = n.order[1:]
	delete(n.waiting, x)
	n.signal()
	return x, true, false
}

// Next returns the next event. It returns ErrClosed when there will be none any
// more. One goroutine calls it at a time.
//
// A slow consumer slows down nothing and loses nothing: events wait merged, so
// it gets more messages in one Received, and the newest state in one Changed.
// Only of drafts that were sent, events are lost when 1,000 others were sent
// after them.
func (c *Client) Next(ctx context.Context) (Event, error) {
	for {
		x, ok, ended := c.notes.take()
		switch {
		case ok:
			e, err := c.eventOf(x)
			if err != nil {
				return nil, err
			}
			if e != nil {
				return e, nil
			}
			continue
		case ended:
			if err := c.takeStop(); err != nil {
				return Stopped{Err: err}, nil
			}
			return nil, ErrClosed
		}
		select {
		case <-c.notes.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Events are all events until the client is closed or the context done. See
// Next.
func (c *Client) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := c.Next(ctx)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// takeStop is why the client gave up, the first time it is asked.
func (c *Client) takeStop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopTold {
		return nil
	}
	c.stopTold = true
	return c.stopErr
}

// eventOf makes the event of a note, as things are now. It is nil when there is
// nothing left to tell.
func (c *Client) eventOf(x note) (Event, error) {
	if x.kind == noteReceived {
		return c.received(x.conversation)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch x.kind {
	case noteConnection:
		return c.connection, nil
	case noteGone:
		if c.conversations[x.conversation] == nil {
			return Gone{x.conversation}, nil
		}
	case noteChanged:
		if v := c.conversations[x.conversation]; v != nil {
			return Changed{v.clone()}, nil
		}
	case noteRestored:
		if v := c.conversations[x.conversation]; v != nil && v.restoredFrom > 0 {
			e := Restored{x.conversation, v.restoredFrom}
			v.restoredFrom = 0
			return e, nil
		}
	case notePresence:
		if p, ok := c.people.presences[x.user]; ok {
			return PresenceChanged{p}, nil
		}
	case noteTyping:
		return TypingChanged{x.conversation, slices.Sorted(maps.Keys(c.people.typing[x.conversation]))}, nil
	case noteProfile:
		if p, ok := c.people.profiles[x.user]; ok {
			delete(c.people.profiles, x.user)
			return ProfileChanged{p}, nil
		}
	case noteDraft:
		if d := c.drafts[x.draft]; d != nil && d.Status != Queued {
			return DraftChanged{d.Draft}, nil
		}
	}
	return nil, nil
}

// eventMessagesMax bounds the messages of one Received.
const eventMessagesMax = 200

// received brings the next part of what was received and is durable.
func (c *Client) received(id parley.ConversationID) (Event, error) {
	c.mu.Lock()
	v := c.conversations[id]
	if v == nil {
		c.mu.Unlock()
		return nil, nil
	}
	e := Received{Conversation: id, Hole: parley.SeqRange{From: v.told + 1, To: v.told}}
	held := ranges(v.Held).within(parley.SeqRange{From: v.told + 1, To: v.tellable})
	if len(held) == 0 {
		c.mu.Unlock()
		return nil, nil
	}
	next := held[0]
	if next.From > v.told+1 {
		e.Hole = parley.SeqRange{From: v.told + 1, To: next.From - 1}
	}
	next.To = min(next.To, next.From+eventMessagesMax-1)
	v.told = next.To
	if v.told < v.tellable {
		c.notes.add(note{kind: noteReceived, conversation: id})
	}
	c.mu.Unlock()
	var err error
	e.Messages, err = c.store.Messages(id, next, eventMessagesMax)
	if err != nil || len(e.Messages) == 0 && e.Hole.Empty() {
		return nil, err
	}
	return e, nil
}
