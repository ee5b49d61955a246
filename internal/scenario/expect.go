package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

const (
	// withinMax is how long an expectation may take where its step does not say.
	withinMax = 30 * time.Second
	// lookAgain is when an expectation is looked at again without an event.
	lookAgain = 50 * time.Millisecond
)

// expect waits until an actor shows what a step says, and with For, goes on
// showing it that long.
func (p *player) expect(ctx context.Context, s *Step) error {
	within := withinMax
	if s.Within > 0 {
		within = time.Duration(s.Within) * time.Millisecond
	}
	hold := time.Duration(s.For) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, within+hold+time.Second)
	defer cancel()
	begun := time.Now()
	a := p.actors[s.Actor]
	want := s.want()
	since := time.Time{} // it is shown
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if s.Expect == "same" {
			want, _ = p.actors[s.Of].shows(ctx, s)
		}
		got, err := a.shows(ctx, s)
		if err != nil {
			got = err.Error()
		}
		now := time.Now()
		switch {
		case got != want:
			since = time.Time{}
		case since.IsZero():
			since = now
		}
		switch {
		case !since.IsZero() && now.Sub(since) >= hold:
			return nil
		case since.IsZero() && now.Sub(begun) >= within || ctx.Err() != nil:
			return fmt.Errorf("after %v it is\n%s\nwant\n%s%s", now.Sub(begun).Round(time.Millisecond), got, want, a.knows(s))
		}
		select {
		case <-changed:
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
		if err := p.faults(); err != nil {
			return err
		}
	}
}

// knows is all that the device knows of the conversation of a step.
func (a *actor) knows(s *Step) string {
	id, err := a.p.room(s.In)
	if err != nil || a.client == nil {
		return ""
	}
	v, err := a.client.Conversation(id)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("\nits device knows %+v", v)
}

// want is what a step expects, written as shows writes it.
func (s *Step) want() string {
	switch {
	case s.Expect == "connections":
		return "as many as expected"
	case s.Expect == "profile":
		return *s.Name + " " + *s.Picture
	case s.Expect == "draft":
		return strings.TrimSpace(fmt.Sprint(s.Is, " ", s.Error))
	case s.Is == nil:
		return list(s.Are)
	}
	return fmt.Sprint(s.Is)
}

// shows is what an actor shows of what a step asks for.
func (a *actor) shows(ctx context.Context, s *Step) (string, error) {
	if s.Expect == "connection" {
		a.mu.Lock()
		defer a.mu.Unlock()
		if s.Is == "offline" && a.connection == "online" {
			return "not in step", nil
		}
		return a.connection, nil
	}
	if s.Expect == "connections" {
		n, err := a.p.stage.actor(ctx, a.name)
		if n.Connections < s.AtLeast || s.AtMost > 0 && n.Connections > s.AtMost {
			return fmt.Sprint(n.Connections), err
		}
		return s.want(), err
	}
	if a.client == nil {
		return "", fmt.Errorf("%s is not open", a.name)
	}
	switch s.Expect {
	case "conversations":
		return fmt.Sprint(len(a.client.Conversations())), nil
	case "draft":
		return a.showsDraft(s)
	case "presence", "presenceTold":
		return a.showsPresence(ctx, s)
	case "profile":
		return a.showsProfile(ctx, s.User)
	case "devices":
		return a.showsDevices(ctx)
	}
	id, err := a.p.room(s.In)
	if err != nil {
		return "", err
	}
	switch s.Expect {
	case "received", "restored", "typing":
		return a.showsTold(id, s), nil
	case "members":
		return a.showsMembers(ctx, id)
	}
	v, err := a.client.Conversation(id)
	if err != nil {
		return "", err
	}
	return a.showsConversation(v, s)
}

func (a *actor) showsDraft(s *Step) (string, error) {
	id, err := a.p.draft(s.Draft)
	if err != nil {
		return "", err
	}
	d, err := a.client.Draft(id)
	if err != nil {
		return "", err
	}
	if d.Status == client.Failed {
		return d.Status.String() + " " + codeOf(d.Err()), nil
	}
	return d.Status.String(), nil
}

// showsTold is what events have said.
func (a *actor) showsTold(id parley.ConversationID, s *Step) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Expect == "restored" {
		return fmt.Sprint(a.restored[id])
	}
	if s.Expect == "typing" {
		return list(a.typing[id])
	}
	var texts []string
	for _, l := range a.received[id] {
		texts = append(texts, l.text)
	}
	return list(texts)
}

// showsPresence is what is known of a user: asked for, or told.
func (a *actor) showsPresence(ctx context.Context, s *Step) (string, error) {
	if s.Expect == "presenceTold" {
		a.mu.Lock()
		defer a.mu.Unlock()
		p, told := a.presences[s.User]
		if !told {
			return "not told", nil
		}
		return showPresence(p), nil
	}
	presences, err := a.client.Presence(ctx, s.User)
	if err != nil {
		return "", err
	}
	if len(presences) != 1 {
		return "", fmt.Errorf("presence of %s: %v", s.User, presences)
	}
	return showPresence(presences[0]), nil
}

// showPresence is a presence in one word. Who is not online has been seen in this
// scenario, so not long ago, or it is not known when.
func showPresence(p client.Presence) string {
	switch {
	case p.Hidden:
		return "hidden"
	case p.Online:
		return "online"
	}
	return showSeen(p.LastSeen)
}

func showSeen(at time.Time) string {
	switch ago := time.Since(at); {
	case at.IsZero():
		return "offline"
	case ago < -time.Minute || ago > 10*time.Minute:
		return "seen " + at.String()
	}
	return "seen"
}

func (a *actor) showsProfile(ctx context.Context, user string) (string, error) {
	profiles, err := a.client.Profiles(ctx, user)
	if err != nil {
		return "", err
	}
	if len(profiles) != 1 {
		return "", fmt.Errorf("profile of %s: %v", user, profiles)
	}
	return profiles[0].Name + " " + profiles[0].Picture, nil
}

// showsDevices is the user's devices, as "phone scenario online current".
func (a *actor) showsDevices(ctx context.Context) (string, error) {
	devices, err := a.client.Devices(ctx)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, d := range devices {
		text := d.Name + " " + d.Platform
		if d.Online {
			text += " online"
		} else {
			text += " " + showSeen(d.LastSeen)
		}
		if d.Current {
			text += " current"
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return list(texts), nil
}

func (a *actor) showsMembers(ctx context.Context, id parley.ConversationID) (string, error) {
	members, err := a.client.Members(ctx, id)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, m := range members {
		texts = append(texts, m.User+" "+m.Role.String())
	}
	slices.Sort(texts)
	return list(texts), nil
}

func (a *actor) showsConversation(v client.Conversation, s *Step) (string, error) {
	switch s.Expect {
	case "unread":
		return fmt.Sprint(v.Unread()), nil
	case "flagged":
		return fmt.Sprint(v.MarkedUnread), nil
	case "muted":
		return fmt.Sprint(v.MutedUntil.After(time.Now())), nil
	case "read":
		return fmt.Sprint(v.Marks.Read), nil
	case "title":
		return v.Title, nil
	case "memberName":
		for _, m := range v.Members {
			if m.User == s.User {
				return m.Name, nil
			}
		}
		return "nobody", nil
	case "role":
		if v.Left {
			return "none", nil
		}
		return v.Role.String(), nil
	case "failed":
		var texts []string
		for _, d := range a.client.Drafts(v.ID) {
			if d.Status == client.Failed {
				texts = append(texts, codeOf(d.Err())+": "+string(d.Body))
			}
		}
		return list(texts), nil
	}
	return a.showsHeld(v, s)
}

// showsHeld is what the device holds.
func (a *actor) showsHeld(v client.Conversation, s *Step) (string, error) {
	messages, holes, err := a.client.Messages(v.ID, parley.SeqRange{})
	if err != nil {
		return "", err
	}
	var texts []string
	switch s.Expect {
	case "holes":
		for _, h := range holes {
			texts = append(texts, fmt.Sprintf("%d-%d", h.From, h.To))
		}
	case "messages", "same":
		for _, h := range holes {
			texts = append(texts, fmt.Sprintf("hole %d-%d", h.From, h.To))
		}
		for i := range messages {
			texts = append(texts, show(&messages[i]))
		}
	case "messagesOf":
		for i := range messages {
			if m := &messages[i]; m.From == s.User && strings.HasPrefix(m.Text(), s.Starting) {
				texts = append(texts, show(m))
			}
		}
	case "tick":
		for i := range messages {
			if m := &messages[i]; m.Event == nil && m.From == a.User && m.Text() == s.Text {
				return v.Tick(m.Seq).String(), nil
			}
		}
		return "not there", nil
	default:
		return "", fmt.Errorf("unknown expectation %q", s.Expect)
	}
	return list(texts), nil
}
