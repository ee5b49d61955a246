package cluster

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// job is a request that may wait for the log or for a disk.
type job struct {
	session wire.SessionID
	who     parley.Identity
	request *wire.Request
	// repeat is a send of before whose receipt must be read; request has its id
	// alone.
	repeat *parley.Draft
	turn   uint32 // of a request to watch, among those of its session
	hint   bool   // there is nothing to answer, only then to do
	then   func() // what is done behind the answer
}

// queue gives a job to the workers. It copies the request, whose memory is the
// caller's.
func (r *Router) queue(j job) error {
	if len(r.jobs) == cap(r.jobs) { // spare the copy; what counts is below
		r.counters.overloadedQueue.Add(1)
		return parley.Overloaded
	}
	var err error
	if j.request, err = copyRequest(j.request); err != nil {
		return err
	}
	return r.enqueue(j)
}

// queueRepeat has a worker read the receipt of an old send.
func (r *Router) queueRepeat(session wire.SessionID, who parley.Identity, id uint32, d parley.Draft) {
	r.counters.repeats.Add(1)
	d.Body = bytes.Clone(d.Body)
	if err := r.enqueue(job{session: session, who: who, request: &wire.Request{Id: id}, repeat: &d}); err != nil {
		r.refuse(session, id, err)
	}
}

func (r *Router) enqueue(j job) error {
	r.jobsMu.Lock()
	defer r.jobsMu.Unlock()
	if r.stopping {
		return parley.Stopping
	}
	if r.queued[j.who.User] >= r.opts.UserQueueMax {
		r.counters.overloadedUsers.Add(1)
		return parley.Overloaded
	}
	select {
	case r.jobs <- j:
		r.queued[j.who.User]++
		return nil
	default:
		r.counters.overloadedQueue.Add(1)
		return parley.Overloaded
	}
}

// dequeued counts a job that a worker has taken.
func (r *Router) dequeued(u parley.UserID) {
	r.jobsMu.Lock()
	defer r.jobsMu.Unlock()
	if r.queued[u]--; r.queued[u] == 0 {
		delete(r.queued, u)
	}
}

// copyRequest copies a request by its bytes. (proto.Clone would share the
// strings, and those point into the memory of the socket.)
func copyRequest(q *wire.Request) (*wire.Request, error) {
	b, err := q.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("copy of a request: %w", err)
	}
	c := &wire.Request{}
	if err := c.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("copy of a request: %w", err)
	}
	return c, nil
}

// work carries out jobs until there are no more.
func (r *Router) work() {
	for j := range r.jobs {
		r.dequeued(j.who.User)
		if !j.hint {
			m, err := r.carryOut(r.context, &j)
			if err != nil {
				r.refuse(j.session, j.request.Id, err)
			} else {
				r.reply(j.session, j.request.Id, m)
			}
		}
		if j.then != nil {
			j.then()
		}
		r.sockets.Flush()
	}
}

// carryOut is the answer to a request.
func (r *Router) carryOut(ctx context.Context, j *job) (*wire.ServerMessage, error) {
	q, who := j.request, j.who
	switch {
	case j.repeat != nil:
		return r.receipt(ctx, who, j.repeat)
	case q.Acknowledge != nil:
		return r.acknowledge(ctx, who, q.Acknowledge)
	case q.History != nil:
		return r.history(ctx, who, q.History)
	case q.Sync != nil:
		return r.sync(who, q.Sync)
	case q.Create != nil:
		return r.create(ctx, who, q.Create)
	case q.Members != nil:
		return r.members(who, q.Members)
	case q.ChangeMembers != nil:
		return r.changeMembers(ctx, who, q.ChangeMembers)
	case q.SetRole != nil:
		return r.setRole(ctx, who, q.SetRole)
	case q.Prefer != nil:
		return r.prefer(ctx, who, q.Prefer)
	case q.State != nil:
		return r.getState(who, q.State.Conversation)
	case q.FindSent != nil:
		return r.findSent(ctx, who, q.FindSent)
	case q.Rename != nil:
		return r.rename(ctx, who, q.Rename)
	}
	return r.carryOutPeople(ctx, j)
}

// carryOutPeople is the answer to a request about presence, devices or profiles.
func (r *Router) carryOutPeople(ctx context.Context, j *job) (*wire.ServerMessage, error) {
	q, who := j.request, j.who
	switch {
	case q.Presence != nil:
		r.shareTelling(j)
		return r.getPresence(ctx, who, q.Presence)
	case q.Watch != nil:
		r.shareTelling(j)
		return r.watch(ctx, j)
	case q.Devices != nil:
		return r.listDevices(j)
	case q.RevokeDevice != nil:
		return r.revokeDevice(ctx, j)
	case q.Profiles != nil:
		r.shareTelling(j)
		return r.getProfiles(who, q.Profiles)
	case q.SetProfile != nil:
		return r.setProfile(ctx, j)
	}
	return nil, fmt.Errorf("%w: a request for nothing", parley.BadRequest)
}

// done is the answer to a change, or its error.
func done(err error) (*wire.ServerMessage, error) {
	return &wire.ServerMessage{Done: &wire.Done{}}, err
}

func (r *Router) receipt(ctx context.Context, who parley.Identity, d *parley.Draft) (*wire.ServerMessage, error) {
	first, err := r.service.Repeated(ctx, who, d)
	return &wire.ServerMessage{Sent: &wire.Sent{Seq: uint64(first.Seq), At: first.At.UnixMicro()}}, err
}

// findSent may read all of a conversation, and who asks chooses how often. So
// only some of the workers search at once, and the others are there for the rest.
func (r *Router) findSent(ctx context.Context, who parley.Identity, q *wire.FindSent) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	select {
	case r.searches <- struct{}{}:
		defer func() { <-r.searches }()
	default:
		return nil, fmt.Errorf("%w: %d searches at once", parley.Overloaded, cap(r.searches))
	}
	m, err := r.service.Sent(ctx, who, c, parley.StreamID(q.Stream), parley.Number(q.Number))
	return &wire.ServerMessage{Sent: &wire.Sent{Seq: uint64(m.Seq), At: m.At.UnixMicro()}}, err
}

func (r *Router) acknowledge(ctx context.Context, who parley.Identity, q *wire.Acknowledge) (*wire.ServerMessage, error) {
	acks := make([]chat.Acknowledgement, len(q.Marks))
	for i, m := range q.Marks {
		var err error
		if acks[i], err = acknowledgementOf(m); err != nil {
			return nil, err
		}
	}
	return done(r.service.Acknowledge(ctx, who, acks...))
}

func (r *Router) history(ctx context.Context, who parley.Identity, q *wire.History) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	want := parley.SeqRange{From: parley.Seq(max(q.From, 1)), To: parley.Seq(q.To)}
	if q.To == 0 {
		want.To = ^parley.Seq(0)
	}
	limit := parley.Seq(q.Limit)
	if limit == 0 || limit > chat.PageMax {
		limit = chat.PageMax
	}
	if !q.Backward && want.Len() > uint64(limit) {
		want.To = want.From + limit - 1
	}
	page, err := r.service.History(ctx, who, c, want, q.Backward)
	if err != nil {
		return nil, err
	}
	shorten(&page, int(limit), r.opts.PageBytesMax, q.Backward)
	return &wire.ServerMessage{Page: r.wirePage(c, &page)}, nil
}

func (r *Router) sync(who parley.Identity, q *wire.Sync) (*wire.ServerMessage, error) {
	limit := int(q.Limit)
	if limit <= 0 || limit > chat.SyncMax {
		limit = chat.SyncMax
	}
	page, err := r.service.Sync(who, q.Cursor, limit)
	if err != nil {
		return nil, err
	}
	out := &wire.SyncPage{
		Cursor: page.Cursor, More: page.More, Authoritative: page.Authoritative,
		Incarnation: uint64(page.Incarnation), States: make([]*wire.State, len(page.Conversations)),
	}
	for i := range page.Conversations {
		out.States[i] = &wire.State{Conversation: page.Conversations[i].Conversation[:]}
		r.fillState(out.States[i], &wire.Member{}, &page.Conversations[i])
	}
	return &wire.ServerMessage{SyncPage: out}, nil
}

func (r *Router) create(ctx context.Context, who parley.Identity, q *wire.Create) (*wire.ServerMessage, error) {
	var c parley.ConversationID
	switch {
	case q.Peer != "" && (q.Title != "" || len(q.Members) > 0):
		return nil, fmt.Errorf("%w: a direct conversation has a peer, a group a title and members", parley.BadRequest)
	case q.Peer != "":
		users, err := r.service.Users(who.Tenant, []string{q.Peer})
		if err != nil {
			return nil, err
		}
		if c, err = r.service.CreateDirect(ctx, who, users[0]); err != nil {
			return nil, err
		}
	default:
		users, err := r.service.Users(who.Tenant, q.Members)
		if err != nil {
			return nil, err
		}
		if c, err = r.service.CreateGroup(ctx, who, q.Title, users); err != nil {
			return nil, err
		}
	}
	return r.getState(who, c[:])
}

func (r *Router) getState(who parley.Identity, conversation []byte) (*wire.ServerMessage, error) {
	c, err := conversationOf(conversation)
	if err != nil {
		return nil, err
	}
	st, err := r.service.State(who, c)
	if err != nil {
		return nil, err
	}
	out := &wire.State{Conversation: conversation}
	r.fillState(out, &wire.Member{}, &st)
	return &wire.ServerMessage{State: out}, nil
}

func (r *Router) members(who parley.Identity, q *wire.ListMembers) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	list, err := r.service.Members(who, c)
	if err != nil {
		return nil, err
	}
	out := &wire.Members{Members: make([]*wire.Member, len(list))}
	for i := range list {
		out.Members[i] = &wire.Member{}
		r.fillMember(out.Members[i], &list[i])
	}
	return &wire.ServerMessage{Members: out}, nil
}

// removesMax bounds the members that one request removes: each is a command.
const removesMax = 500

// changeMembers adds, then removes. A refusal ends it; what was done before
// stays.
func (r *Router) changeMembers(ctx context.Context, who parley.Identity, q *wire.ChangeMembers) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	if len(q.Add)+len(q.Remove) == 0 || len(q.Remove) > removesMax {
		return nil, fmt.Errorf("%w: %d members to add and %d to remove, at most %d", parley.BadRequest, len(q.Add), len(q.Remove), removesMax)
	}
	added, err := r.service.Users(who.Tenant, q.Add)
	if err != nil {
		return nil, err
	}
	removed, err := r.service.Users(who.Tenant, q.Remove)
	if err != nil {
		return nil, err
	}
	if len(added) > 0 {
		if err := r.service.Add(ctx, who, c, added...); err != nil {
			return nil, err
		}
	}
	for _, u := range removed {
		if err := r.service.Remove(ctx, who, c, u); err != nil {
			return nil, err
		}
	}
	return done(nil)
}

func (r *Router) setRole(ctx context.Context, who parley.Identity, q *wire.SetRole) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	if q.Role < wire.Role_ROLE_MEMBER || q.Role > wire.Role_ROLE_OWNER {
		return nil, fmt.Errorf("%w: role %d", parley.BadRequest, q.Role)
	}
	users, err := r.service.Users(who.Tenant, []string{q.User})
	if err != nil {
		return nil, err
	}
	return done(r.service.SetRole(ctx, who, c, users[0], parley.Role(q.Role)))
}

func (r *Router) rename(ctx context.Context, who parley.Identity, q *wire.Rename) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	return done(r.service.Rename(ctx, who, c, q.Title))
}

func (r *Router) prefer(ctx context.Context, who parley.Identity, q *wire.Prefer) (*wire.ServerMessage, error) {
	c, err := conversationOf(q.Conversation)
	if err != nil {
		return nil, err
	}
	if q.MuteUntil == nil && q.MarkUnread == nil {
		return nil, fmt.Errorf("%w: nothing to prefer", parley.BadRequest)
	}
	if q.MuteUntil != nil {
		until := time.Time{}
		if *q.MuteUntil > 0 {
			until = time.UnixMicro(*q.MuteUntil)
		}
		if err := r.service.Mute(ctx, who, c, until); err != nil {
			return nil, err
		}
	}
	if q.MarkUnread != nil {
		if err := r.service.MarkUnread(ctx, who, c, *q.MarkUnread); err != nil {
			return nil, err
		}
	}
	return done(nil)
}
