package client

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// What a connection reads is borrowed. These functions make it the client's
// own.

// timeOf is a time of the wire; 0 is the zero time.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// conversationOf is the conversation that a server message names.
func conversationOf(b []byte) (parley.ConversationID, bool) {
	if len(b) != len(parley.ConversationID{}) {
		return parley.ConversationID{}, false
	}
	return parley.ConversationID(b), true
}

func messageOf(c parley.ConversationID, w *wire.Message) Message {
	m := Message{
		Conversation: c, Seq: parley.Seq(w.Seq), From: strings.Clone(w.From),
		Stream: parley.StreamID(w.Stream), Number: parley.Number(w.Number),
		Kind: parley.Kind(w.Kind), At: timeOf(w.At),
	}
	if m.Kind == parley.KindText {
		m.Body = []byte(w.Text)
	} else if len(w.Data) > 0 {
		m.Body = bytes.Clone(w.Data)
	}
	if e := w.Event; e != nil {
		m.Event = &SystemEvent{Type: parley.EventType(e.Type), Role: parley.Role(e.Role), Title: strings.Clone(e.Title)}
		for _, u := range e.Users {
			m.Event.Users = append(m.Event.Users, strings.Clone(u))
		}
	}
	return m
}

// wireOf is the form in which a message is stored.
func wireOf(m *Message) *wire.Message {
	w := &wire.Message{
		Seq: uint64(m.Seq), From: m.From, Stream: uint64(m.Stream), Number: uint32(m.Number),
		Kind: wire.Kind(m.Kind), At: microsOf(m.At),
	}
	if m.Kind == parley.KindText {
		w.Text = string(m.Body)
	} else {
		w.Data = m.Body
	}
	if e := m.Event; e != nil {
		w.Event = &wire.Event{Type: wire.EventType(e.Type), Users: e.Users, Role: wire.Role(e.Role), Title: e.Title}
	}
	return w
}

func memberOf(w *wire.Member) Member {
	return Member{
		User: strings.Clone(w.User), Role: parley.Role(w.Role), Name: strings.Clone(w.Name), Picture: strings.Clone(w.Picture),
		Watermarks: parley.Watermarks{Delivered: parley.Seq(w.Delivered), Read: parley.Seq(w.Read)},
	}
}

// clone is a copy that shares nothing.
func (c *Conversation) clone() Conversation {
	d := *c
	d.Held, d.Members, d.Doubt = slices.Clone(c.Held), slices.Clone(c.Members), slices.Clone(c.Doubt)
	return d
}

// sendOf is the request that sends a draft.
func sendOf(d *Draft) *wire.Request {
	s := &wire.Send{Conversation: bytes.Clone(d.Conversation[:]), Stream: uint64(d.Stream), Number: uint32(d.Number), Kind: wire.Kind(d.Kind)}
	if d.Kind == parley.KindText {
		s.Text = string(d.Body)
	} else {
		s.Data = d.Body
	}
	return &wire.Request{Send: s}
}

// refusalOf is a refusal of the server as an error that matches its
// parley.Code.
func refusalOf(w *wire.Error) *Refusal {
	// The server's text often begins with the code, which we name anyway.
	message := strings.TrimPrefix(strings.TrimPrefix(w.Message, parley.Code(w.Code).String()), ": ")
	return &Refusal{
		Code: parley.Code(w.Code), Message: strings.Clone(message), Expected: parley.Number(w.Expected),
		RetryAfter: time.Duration(w.RetryAfterMs) * time.Millisecond,
	}
}

// presencesOf are presences of the wire, nil for none.
func presencesOf(w *wire.Presences) []Presence {
	if w == nil {
		return nil
	}
	presences := make([]Presence, 0, len(w.Presences))
	for _, p := range w.Presences {
		presences = append(presences, Presence{
			User: strings.Clone(p.User), Online: p.Online, LastSeen: timeOf(p.LastSeen), Hidden: p.Hidden,
			Unsure: w.Degraded && !p.Online && !p.Hidden,
		})
	}
	return presences
}

func profileOf(w *wire.Profile) Profile {
	return Profile{
		User: strings.Clone(w.User), Name: strings.Clone(w.Name), Picture: strings.Clone(w.Picture),
		LastSeenTo: parley.Privacy(w.LastSeenTo),
	}
}

func deviceOf(w *wire.Device) DeviceState {
	d := DeviceState{
		Device:  Device{Name: strings.Clone(w.Name), Platform: strings.Clone(w.Platform)},
		Created: timeOf(w.Created), LastSeen: timeOf(w.LastSeen), Online: w.Online, Current: w.Current,
	}
	copy(d.ID[:], w.Device)
	return d
}
