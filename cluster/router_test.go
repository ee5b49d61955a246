package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

func wantError(t *testing.T, m *wire.ServerMessage, want parley.Code) {
	t.Helper()
	if m.Error == nil || m.Error.Code != uint32(want) || m.Error.Name != want.String() {
		t.Fatalf("answer = %v, want %v", m, want)
	}
}

func TestSendIsAnsweredAndDelivered(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	first := h.ask(0, h.text(0, room, 1, "hello"))
	if first.Sent == nil || first.Sent.Seq != 1 || first.Sent.Version == 0 {
		t.Fatalf("answer = %v", first)
	}
	told := h.sockets.await(t, 2, func(told []*wire.ServerMessage) bool {
		return len(told) > 0 && told[len(told)-1].Message != nil
	})
	m := told[len(told)-1].Message
	if m.From != "ann" || m.Text != "hello" || m.Seq != 1 || m.Version != first.Sent.Version || string(m.Conversation) != string(room) {
		t.Fatalf("push = %v", m)
	}
	for _, m := range h.sockets.await(t, 1, func([]*wire.ServerMessage) bool { return true }) {
		if m.Message != nil {
			t.Fatalf("the sender was told his own message: %v", m)
		}
	}
	again := h.ask(0, h.text(0, room, 1, "hello"))
	if again.Sent == nil || again.Sent.Seq != 1 || again.Sent.Version != 0 {
		t.Fatalf("answer to a repeat = %v", again)
	}
}

func TestOldRepeatIsReadByAWorker(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	for n := range uint32(3) {
		h.ask(0, h.text(0, room, n+1, "hello"))
	}
	if m := h.ask(0, h.text(0, room, 1, "hello")); m.Sent == nil || m.Sent.Seq != 1 {
		t.Fatalf("answer to an old repeat = %v", m)
	}
	wantError(t, h.ask(0, h.text(0, room, 1, "other")), parley.NumberReused)
	wantError(t, h.ask(0, h.text(0, room, 3, "other")), parley.NumberReused)
	if h.router.Stats().Repeats != 2 {
		t.Fatalf("stats = %+v", h.router.Stats())
	}
}

func TestMarksAreToldToTheOthers(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	h.ask(0, h.text(0, room, 1, "hello"))
	answer := h.ask(1, &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: room, Delivered: 1, Read: 1}}}})
	if answer.Done == nil {
		t.Fatalf("answer = %v", answer)
	}
	h.sockets.await(t, 1, func(told []*wire.ServerMessage) bool {
		for _, m := range told {
			if k := m.Marks; k != nil && k.User == "bob" && k.Delivered == 1 && k.Read == 1 {
				return true
			}
		}
		return false
	})
}

// A reader's other devices hear what he has read. The one that read to the end
// knows; one that read less gets the counts.
func TestReaderIsToldWhatHeDoesNotKnow(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob", "bob")
	room := h.direct(0, "bob")
	for n := range uint32(3) {
		h.ask(0, h.text(0, room, n+1, "hello"))
	}
	read := func(seq, unread uint64, session wire.SessionID) {
		t.Helper()
		h.ask(1, &wire.Request{Acknowledge: &wire.Acknowledge{Marks: []*wire.Mark{{Conversation: room, Read: seq}}}})
		h.sockets.await(t, session, func(told []*wire.ServerMessage) bool {
			for _, m := range told {
				if m.State != nil && m.ReplyTo == 0 && m.State.Read == seq && m.State.Unread == unread {
					return true
				}
			}
			return false
		})
	}
	read(1, 2, 2)
	read(2, 1, 3)
	read(3, 0, 3)
	for _, m := range h.sockets.await(t, 2, func([]*wire.ServerMessage) bool { return true }) {
		if m.State != nil && m.ReplyTo == 0 && m.State.Read == 3 {
			t.Fatalf("the reader was told what he knew: %v", m)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := open(t, Options{}, chat.Options{BodyMax: 100}, "ann", "bob", "eve")
	room := h.direct(0, "bob")
	skipped := h.ask(0, h.text(0, room, 2, "too early"))
	wantError(t, skipped, parley.RetryInOrder)
	if skipped.Error.Expected != 1 {
		t.Fatalf("expected = %d, want 1", skipped.Error.Expected)
	}
	wantError(t, h.ask(0, h.text(0, room, 1, strings.Repeat("x", 101))), parley.TooLarge)
	wantError(t, h.ask(2, h.text(2, room, 1, "let me in")), parley.NotMember)
	wantError(t, h.ask(0, h.text(0, make([]byte, 16), 1, "nowhere")), parley.NotMember)
	wantError(t, h.ask(0, h.text(0, []byte("short"), 1, "nowhere")), parley.BadRequest)
	wantError(t, h.ask(0, &wire.Request{}), parley.BadRequest)
	wantError(t, h.ask(0, &wire.Request{Create: &wire.Create{Peer: "nobody"}}), parley.UnknownUser)
	wantError(t, h.ask(2, &wire.Request{History: &wire.History{Conversation: room}}), parley.NotMember)
	wantError(t, h.ask(2, &wire.Request{State: &wire.GetState{Conversation: room}}), parley.NotMember)
	wantError(t, h.ask(2, &wire.Request{Members: &wire.ListMembers{Conversation: room}}), parley.NotMember)
	wantError(t, h.ask(0, &wire.Request{Acknowledge: &wire.Acknowledge{}}), parley.BadRequest)
	system := h.text(0, room, 1, "I am the server")
	system.Send.Kind = wire.Kind_KIND_SYSTEM
	wantError(t, h.ask(0, system), parley.BadRequest)
	if m := h.ask(0, h.text(0, room, 1, "still here")); m.Sent == nil || m.Sent.Seq != 1 {
		t.Fatalf("answer = %v", m)
	}
}

// A pipeline with a refusal in the middle keeps its order: what follows the
// refused number is not stored before it.
func TestRefusalInAPipelineKeepsOrder(t *testing.T) {
	h := open(t, Options{}, chat.Options{BodyMax: 100}, "ann", "bob")
	room := h.direct(0, "bob")
	var batch []*wire.Request
	for n := range uint32(6) {
		q := h.text(0, room, n+1, "hello")
		if n == 2 {
			q.Send.Text = strings.Repeat("x", 200)
		}
		q.Id = 100 + n
		batch = append(batch, q)
	}
	h.router.Submit(1, h.users[0], batch)
	h.sockets.await(t, 1, func(told []*wire.ServerMessage) bool {
		answers := 0
		for _, m := range told {
			if m.ReplyTo < 100 {
				continue
			}
			answers++
			switch n := m.ReplyTo - 100; {
			case n < 2 && m.Sent == nil, n > 2 && (m.Error == nil || m.Error.Code != uint32(parley.RetryInOrder) || m.Error.Expected != 3):
				t.Fatalf("answer to number %d = %v", n+1, m)
			case n == 2:
				wantError(t, m, parley.TooLarge)
			}
		}
		return answers == len(batch)
	})
	page := h.ask(0, &wire.Request{History: &wire.History{Conversation: room}})
	if page.Page == nil || page.Page.Last != 2 {
		t.Fatalf("history = %v", page)
	}
}

func TestOverloadIsSaid(t *testing.T) {
	h := open(t, Options{SubmissionsMax: 1, QueueMax: 1, Workers: 1}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	s := h.router.take() // somebody else's batch is on its way
	m := h.ask(0, h.text(0, room, 1, "hello"))
	wantError(t, m, parley.Overloaded)
	if m.Error.RetryAfterMs == 0 {
		t.Fatalf("no time to come back in %v", m)
	}
	h.router.put(s)
	if m := h.ask(0, h.text(0, room, 1, "hello")); m.Sent == nil {
		t.Fatalf("answer = %v", m)
	}
}

// A search reads as much as there is: many at once must leave workers for others.
func TestSearchesAreFew(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	c := h.direct(0, "bob")
	find := func() *wire.ServerMessage {
		return h.ask(0, &wire.Request{FindSent: &wire.FindSent{Conversation: c, Stream: 5, Number: 1}})
	}
	for range cap(h.router.searches) {
		h.router.searches <- struct{}{}
	}
	wantError(t, find(), parley.Overloaded)
	<-h.router.searches
	wantError(t, find(), parley.ResendUnknown)
	wantError(t, find(), parley.ResendUnknown) // the place was given back
}

// What a worker reads when the router is closed may be without end.
func TestCloseCutsShort(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	c := h.direct(0, "bob")
	h.ask(0, h.text(0, c, 1, "hello"))
	if err := h.router.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := h.router.carryOut(h.router.context, &job{who: h.users[0], request: &wire.Request{History: &wire.History{Conversation: c}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a history was read to its end: %v", err)
	}
	if refusal := h.router.refusal(err); refusal.Code != uint32(parley.Stopping) {
		t.Errorf("answered %v, want %v", refusal, parley.Stopping)
	}
}

func TestStoppedRouterRefuses(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	if err := h.router.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, h.ask(0, &wire.Request{Sync: &wire.Sync{}}), parley.Stopping)
}

func TestClosedStoreIsSaid(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	if err := h.service.Close(); err != nil {
		t.Fatal(err)
	}
	m := h.ask(0, h.text(0, room, 1, "hello"))
	if m.Error == nil || !parley.Code(m.Error.Code).Retry() {
		t.Fatalf("answer = %v, want one that says retry", m)
	}
}

func TestGroupChangesReachEverybody(t *testing.T) {
	h := open(t, Options{}, chat.Options{}, "ann", "bob", "cid")
	made := h.ask(0, &wire.Request{Create: &wire.Create{Title: "walk", Members: []string{"bob"}}})
	if made.State == nil || made.State.Title != "walk" || made.State.Role != wire.Role_ROLE_OWNER {
		t.Fatalf("answer = %v", made)
	}
	room := made.State.Conversation
	change := func(add, remove []string) {
		t.Helper()
		if m := h.ask(0, &wire.Request{ChangeMembers: &wire.ChangeMembers{Conversation: room, Add: add, Remove: remove}}); m.Done == nil {
			t.Fatalf("answer = %v", m)
		}
	}
	state := func(session wire.SessionID, what string, is func(*wire.State) bool) {
		t.Helper()
		h.sockets.await(t, session, func(told []*wire.ServerMessage) bool {
			for _, m := range told {
				if m.State != nil && m.ReplyTo == 0 && string(m.State.Conversation) == string(room) && is(m.State) {
					return true
				}
			}
			return false
		})
	}
	change([]string{"cid"}, nil)
	state(3, "cid is in", func(s *wire.State) bool { return s.Role == wire.Role_ROLE_MEMBER })
	change(nil, []string{"cid"})
	state(3, "cid is out", func(s *wire.State) bool { return s.Left })
	wantError(t, h.ask(2, h.text(2, room, 1, "but")), parley.NotMember)
	if m := h.ask(1, &wire.Request{Members: &wire.ListMembers{Conversation: room}}); m.Members == nil || len(m.Members.Members) != 2 {
		t.Fatalf("members = %v", m)
	}
	until := int64(1 << 50)
	if m := h.ask(1, &wire.Request{Prefer: &wire.Prefer{Conversation: room, MuteUntil: &until}}); m.Done == nil {
		t.Fatalf("answer = %v", m)
	}
	state(2, "bob muted it", func(s *wire.State) bool { return s.MutedUntil == until })
}

func TestBadTokenIsRefused(t *testing.T) {
	h := open(t, Options{}, chat.Options{})
	if _, _, _, err := h.router.Authenticate(context.Background(), "", &wire.Device{}); !errors.Is(err, parley.BadToken) {
		t.Fatalf("err = %v", err)
	}
}

// One user's requests do not fill the queue for the others.
func TestQueueIsShared(t *testing.T) {
	h := open(t, Options{Workers: 1, QueueMax: 64, UserQueueMax: 8}, chat.Options{}, "ann", "bob")
	room := h.direct(0, "bob")
	var flood []*wire.Request
	for i := range uint32(500) {
		flood = append(flood, &wire.Request{Id: 1000 + i, History: &wire.History{Conversation: room}})
	}
	h.router.Submit(1, h.users[0], flood)
	if m := h.ask(1, &wire.Request{Sync: &wire.Sync{}}); m.SyncPage == nil {
		t.Fatalf("another user is answered %v", m)
	}
	h.sockets.await(t, 1, func(told []*wire.ServerMessage) bool {
		answers := 0
		for _, m := range told {
			if m.ReplyTo >= 1000 {
				answers++
			}
		}
		return answers == len(flood)
	})
	if s := h.router.Stats(); s.OverloadedUsers == 0 || s.OverloadedQueue != 0 {
		t.Fatalf("stats = %+v", s)
	}
	if n := len(h.router.queued); n != 0 {
		t.Fatalf("%d users are still counted", n)
	}
}
