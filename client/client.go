package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/parleychat/parley"
)

// Client is one user's device: an outbox that survives, a copy of the
// conversations, and a connection that comes back by itself. All methods may be
// called from any goroutine.
type Client struct {
	o     Options
	store Store
	log   *slog.Logger
	notes *notes

	stop     context.CancelFunc // ends connecting
	stopping context.Context
	closed   chan struct{}  // closed by Close
	calls    chan struct{}  // holds a value for each call that is on its way
	wake     chan struct{}  // holds a value when there is something for keep to do
	talking  sync.WaitGroup // connect and the writers of sessions
	keeping  sync.WaitGroup // keep, which ends after them

	mu            sync.Mutex // guards below
	meta          Meta
	conversations map[parley.ConversationID]*conversation
	lanes         map[parley.ConversationID]*lane
	drafts        map[uint64]*draft
	sent          []uint64 // drafts that were sent and are still kept, the oldest first
	waiting       int      // drafts that are queued or failed
	waitingBytes  int
	busy          []*lane // lanes with drafts to send, in the order of their turns

	pending  *pending // what the next Apply takes
	applied  uint64   // the generation that was applied last
	storeErr error    // of an Apply: the client has stopped

	session    *session      // nil while there is no connection
	online     chan struct{} // closed while there is one
	connection Connection    // as told last
	attention  time.Time     // when keep has something to do by the clock; zero for never
	pulls      []*conversation
	unmarked   map[*conversation]bool // with marks that the server does not know
	people     people
	freshToken string // for the next login; empty to ask for one
	stopErr    error
	stopTold   bool
	isClosed   bool
}

// pending gathers what happened since the last Apply, so that all of it costs
// one sync of the disk.
type pending struct {
	generation    uint64
	changes       Changes
	conversations map[*conversation]bool // to put
	lanes         map[*lane]bool
	drafts        map[uint64]*draft
	meta          bool
	notes         []note        // told once it is applied
	done          chan struct{} // closed when it is applied, or never will be
}

func newPending(generation uint64) *pending {
	return &pending{
		generation: generation, done: make(chan struct{}),
		conversations: make(map[*conversation]bool), lanes: make(map[*lane]bool), drafts: make(map[uint64]*draft),
	}
}

// Open opens the store and starts. It does not wait for a connection: what the
// device holds can be read, and drafts can be sent, at once.
func Open(o Options) (*Client, error) {
	o = o.withDefaults()
	if _, err := parseURL(o.URL); err != nil {
		return nil, err
	}
	if o.Token == nil {
		return nil, errors.New("client: Options.Token is not set")
	}
	if err := o.Device.check(); err != nil {
		return nil, err
	}
	saved, err := o.Store.Load()
	if err != nil {
		return nil, err
	}
	c := &Client{
		o: o, store: o.Store, log: o.Logger, notes: newNotes(),
		closed: make(chan struct{}), calls: make(chan struct{}, callsMax), wake: make(chan struct{}, 1), online: make(chan struct{}),
		meta:          saved.Meta,
		conversations: make(map[parley.ConversationID]*conversation),
		lanes:         make(map[parley.ConversationID]*lane),
		drafts:        make(map[uint64]*draft),
		unmarked:      make(map[*conversation]bool),
		people:        newPeople(),
		pending:       newPending(1),
	}
	c.meta.NextDraft = max(c.meta.NextDraft, 1)
	c.stopping, c.stop = context.WithCancel(context.Background())
	if err := c.load(saved); err != nil {
		return nil, err
	}
	if err := c.identify(); err != nil {
		return nil, err
	}
	c.keeping.Go(c.keep)
	c.talking.Go(c.connect)
	return c, nil
}

// load takes over what the store held.
func (c *Client) load(saved *Saved) error {
	for i := range saved.Conversations {
		v := &conversation{Conversation: saved.Conversations[i].clone()}
		v.told, v.tellable = v.Tail, v.Tail
		v.durable, v.foreign = v.prefix(), v.Last
		if err := c.recount(v); err != nil {
			return err
		}
		c.conversations[v.ID] = v
	}
	for _, l := range saved.Lanes {
		c.lanes[l.Conversation] = &lane{Lane: l}
	}
	for i := range saved.Drafts {
		d := &draft{Draft: saved.Drafts[i]}
		c.drafts[d.ID] = d
		if d.Status == Sent {
			c.sent = append(c.sent, d.ID)
			continue
		}
		c.waiting++
		c.waitingBytes += len(d.Body)
		if d.Status == Queued {
			// Whether the last process had written it, nobody knows.
			d.written = true
			l := c.lane(d.Conversation)
			l.drafts = append(l.drafts, d)
		}
	}
	for _, l := range c.lanes {
		if l.Broken {
			l.plan = planFind
		}
		c.enqueue(l)
	}
	slices.SortFunc(c.busy, func(a, b *lane) int { return cmp.Compare(a.oldest(), b.oldest()) })
	return nil
}

// change is what the next Apply takes. c.mu is held.
func (c *Client) change() *pending {
	c.signal()
	return c.pending
}

// signal wakes keep.
func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// attend has keep look at the clock's work at a time. c.mu is held.
func (c *Client) attend(at time.Time) {
	if c.attention.IsZero() || at.Before(c.attention) {
		c.attention = at
		c.signal()
	}
}

// keep is the one goroutine that writes to the store. It takes all that has
// gathered as one, then lets go what had to be durable first: drafts to the
// server, acknowledgements, events.
func (c *Client) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		wait := time.Hour
		if !c.attention.IsZero() {
			wait = time.Until(c.attention)
		}
		c.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-c.closed:
			return
		}
		c.apply()
		c.mu.Lock()
		if now := time.Now(); !c.attention.IsZero() && !now.Before(c.attention) {
			c.attention = time.Time{}
			c.tend(now)
		}
		c.mu.Unlock()
	}
}

// apply writes what has gathered. A store that fails stops the client: what is
// in memory would not be true any more.
func (c *Client) apply() {
	c.mu.Lock()
	p := c.pending
	c.pending = newPending(p.generation + 1)
	failed := c.storeErr
	c.fill(p)
	ready := c.readied(p)
	c.mu.Unlock()
	if failed == nil && !p.changes.empty() {
		failed = c.store.Apply(&p.changes)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(p.done)
	if failed != nil {
		if c.storeErr == nil {
			c.storeErr = failed
			c.giveUp(failed)
		}
		return
	}
	c.applied = p.generation
	for _, r := range ready {
		r.v.tellable, r.v.durable = max(r.v.tellable, r.tail), r.prefix
		if r.v.tellable > r.v.told {
			p.notes = append(p.notes, note{kind: noteReceived, conversation: r.v.ID})
		}
	}
	c.notes.add(p.notes...)
	for _, r := range ready {
		c.dueMarks(r.v)
	}
	c.pump()
}

// fill makes the changes of what was marked.
func (c *Client) fill(p *pending) {
	if p.meta {
		m := c.meta
		m.Cursor, m.Streams = slices.Clone(m.Cursor), slices.Clone(m.Streams)
		p.changes.Meta = &m
	}
	for v := range p.conversations {
		if c.conversations[v.ID] == v {
			p.changes.Conversations = append(p.changes.Conversations, v.clone())
		}
	}
	for l := range p.lanes {
		p.changes.Lanes = append(p.changes.Lanes, l.Lane)
	}
	for _, d := range p.drafts {
		if c.drafts[d.ID] == d {
			p.changes.Drafts = append(p.changes.Drafts, d.Draft)
		}
	}
}

// readying is what may be told of a conversation once a change is applied.
type readying struct {
	v            *conversation
	tail, prefix parley.Seq
}

func (c *Client) readied(p *pending) []readying {
	var all []readying
	for v := range p.conversations {
		if v.stated() && c.conversations[v.ID] == v {
			all = append(all, readying{v, v.Tail, v.prefix()})
		}
	}
	return all
}

// put has a conversation stored, and told.
func (c *Client) put(v *conversation) {
	p := c.change()
	p.conversations[v] = true
	c.tell(note{kind: noteChanged, conversation: v.ID})
}

// tell notes events that come once what has happened is durable.
func (c *Client) tell(n ...note) { p := c.change(); p.notes = append(p.notes, n...) }

func (c *Client) putMeta() { c.change().meta = true }

// committed waits until everything so far is durable.
func (c *Client) committed() error {
	c.mu.Lock()
	p := c.change()
	c.mu.Unlock()
	return c.await(p)
}

func (c *Client) await(p *pending) error {
	<-p.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applied < p.generation {
		return c.storeErr
	}
	return nil
}

// giveUp stops the client for good. c.mu is held.
func (c *Client) giveUp(err error) {
	if c.stopErr != nil {
		return
	}
	c.stopErr = err
	c.log.Error("chat client stopped", "err", err)
	c.stop()
	if c.session != nil {
		c.session.end()
	}
	c.notes.end()
}

// usable is nil until the client is closed or has given up. c.mu is held.
func (c *Client) usable() error {
	if c.isClosed {
		return ErrClosed
	}
	return c.stopErr
}

// Close sends what is on its way for a moment, ends the connection, and closes
// the store. What was not sent is sent after the next Open. A second Close
// returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.isClosed {
		c.mu.Unlock()
		return nil
	}
	c.isClosed = true
	c.mu.Unlock()
	c.settle()
	c.stop()
	c.mu.Lock()
	if c.session != nil {
		c.session.end()
	}
	c.mu.Unlock()
	c.talking.Wait()
	close(c.closed)
	c.keeping.Wait()
	c.apply() // what came meanwhile
	c.notes.end()
	return errors.Join(c.storeErr, c.store.Close())
}

// settle waits for the answers to drafts and acknowledgements that are on their
// way.
func (c *Client) settle() {
	deadline := time.Now().Add(c.o.CloseWait)
	for time.Now().Before(deadline) {
		c.mu.Lock()
		s := c.session
		idle := s == nil || c.meta.Restoring || c.stopErr != nil || s.sends == 0 && !c.sendable() && s.acknowledging == 0 && len(c.unmarked) == 0
		c.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-c.stopping.Done():
			return
		}
	}
}

// Conversations are all that the device holds, the newest change first.
func (c *Client) Conversations() []Conversation {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Conversation, 0, len(c.conversations))
	for _, v := range c.conversations {
		all = append(all, v.clone())
	}
	slices.SortFunc(all, func(a, b Conversation) int {
		if d := b.Changed.Compare(a.Changed); d != 0 {
			return d
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return all
}

// Conversation is one of them. It returns ErrUnknown if the device does not
// hold it.
func (c *Client) Conversation(id parley.ConversationID) (Conversation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.conversations[id]; v != nil {
		return v.clone(), nil
	}
	return Conversation{}, fmt.Errorf("%w: conversation %v", ErrUnknown, id)
}

// User is who the server says that the token is, empty before the first login.
func (c *Client) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meta.User
}

// MessagesMax bounds the messages that Messages returns.
const MessagesMax = 1000

// Messages returns the messages of a range that the device holds, in order, and
// the holes in it, which History can fill. The range ends at the last sequence
// that the device has heard of; To 0 means that. Of more than MessagesMax
// sequences it looks at the last.
func (c *Client) Messages(id parley.ConversationID, r parley.SeqRange) (messages []Message, holes []parley.SeqRange, err error) {
	c.mu.Lock()
	v := c.conversations[id]
	if c.isClosed {
		c.mu.Unlock()
		return nil, nil, ErrClosed
	}
	if v == nil {
		c.mu.Unlock()
		return nil, nil, fmt.Errorf("%w: conversation %v", ErrUnknown, id)
	}
	if r.To == 0 || r.To > v.Last {
		r.To = v.Last
	}
	r.From = max(r.From, 1)
	if r.Len() > MessagesMax {
		r.From = r.To - MessagesMax + 1
	}
	held := ranges(v.Held).within(r)
	holes = ranges(v.Held).missing(r)
	p := c.change()
	c.mu.Unlock()
	// What is held is in the store once what has gathered is applied.
	if err := c.await(p); err != nil {
		return nil, nil, err
	}
	for _, h := range held {
		part, err := c.store.Messages(id, h, MessagesMax)
		if err != nil {
			return nil, nil, err
		}
		messages = append(messages, part...)
	}
	return messages, holes, nil
}
