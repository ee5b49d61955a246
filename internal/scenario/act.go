package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// actMax is how long an action may take.
const actMax = 30 * time.Second

// act has an actor do something, and holds how it ended to what the step says.
func (p *player) act(ctx context.Context, s *Step) error {
	ctx, cancel := context.WithTimeout(ctx, actMax)
	defer cancel()
	err := p.actors[s.Actor].do(ctx, s)
	if s.Fails == "" {
		return err
	}
	if code := codeOf(err); code != s.Fails {
		return fmt.Errorf("it ended with %q (%v), want %q", code, err, s.Fails)
	}
	return nil
}

// codeOf is the name of an error in a scenario.
func codeOf(err error) string {
	switch {
	case err == nil:
		return "nothing"
	case errors.Is(err, client.ErrRestored):
		return "restored"
	case errors.Is(err, client.ErrRevoked):
		return "revoked"
	}
	if code, ok := errors.AsType[parley.Code](err); ok {
		return code.String()
	}
	return "another error"
}

func (a *actor) do(ctx context.Context, s *Step) error {
	switch s.Do {
	case "open":
		return a.open(ctx, s.Fresh)
	case "close":
		return a.close()
	}
	if a.client == nil {
		return fmt.Errorf("%s is not open", a.name)
	}
	switch s.Do {
	case "createDirect", "createGroup":
		return a.create(ctx, s)
	case "resend", "discard":
		return a.redo(s)
	case "watch":
		return a.watch(ctx, s)
	case "setProfile":
		return a.setProfile(ctx, s)
	case "revoke":
		return a.revoke(ctx, s.Of)
	}
	id, err := a.p.room(s.In)
	if err != nil {
		return err
	}
	c := a.client
	switch s.Do {
	case "send":
		return a.send(id, s)
	case "history":
		return a.history(ctx, id, s)
	case "markRead":
		return c.MarkRead(id, parley.Seq(s.UpTo))
	case "markUnread":
		return c.MarkUnread(ctx, id, s.Unread)
	case "mute":
		until := time.Time{}
		if s.Ms > 0 {
			until = time.Now().Add(time.Duration(s.Ms) * time.Millisecond)
		}
		return c.Mute(ctx, id, until)
	case "add":
		return c.AddMembers(ctx, id, s.Users...)
	case "remove":
		return c.RemoveMember(ctx, id, s.User)
	case "leave":
		return c.Leave(ctx, id)
	case "rename":
		return c.Rename(ctx, id, s.Title)
	case "typing":
		c.Typing(id, s.Active)
		return nil
	case "setRole":
		return c.SetRole(ctx, id, s.User, roleOf(s.Role))
	}
	return fmt.Errorf("unknown action %q", s.Do)
}

func roleOf(name string) parley.Role {
	for r := parley.RoleMember; r <= parley.RoleOwner; r++ {
		if r.String() == name {
			return r
		}
	}
	return 0
}

func (a *actor) create(ctx context.Context, s *Step) (err error) {
	var v client.Conversation
	if s.Do == "createDirect" {
		v, err = a.client.CreateDirect(ctx, s.Peer)
	} else {
		v, err = a.client.CreateGroup(ctx, s.Title, s.Members...)
	}
	if err != nil {
		return err
	}
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	if s.As != "" {
		a.p.rooms[s.As] = v.ID
	}
	return nil
}

// send sends a message, or several: then {i} in its text is their number.
func (a *actor) send(id parley.ConversationID, s *Step) error {
	for i := 1; i <= max(s.Count, 1); i++ {
		text := strings.ReplaceAll(s.Text, "{i}", strconv.Itoa(i))
		if s.Size > 0 && text != "" {
			text = strings.Repeat(text, s.Size/len(text)+1)[:s.Size]
		}
		d, err := a.client.SendText(id, text)
		if err != nil {
			return err
		}
		if s.As != "" {
			a.p.mu.Lock()
			a.p.drafts[s.As] = d.ID
			a.p.mu.Unlock()
		}
	}
	return nil
}

// redo sends a failed draft again, or drops it.
func (a *actor) redo(s *Step) error {
	id, err := a.p.draft(s.Draft)
	if err != nil {
		return err
	}
	if s.Do == "discard" {
		return a.client.Discard(id)
	}
	d, err := a.client.Resend(id)
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	a.p.drafts[s.Draft] = d.ID
	return err
}

// history reads a range, from the server where the device lacks it.
func (a *actor) history(ctx context.Context, id parley.ConversationID, s *Step) error {
	messages, err := a.client.History(ctx, id, parley.SeqRange{From: parley.Seq(s.From), To: parley.Seq(s.To)})
	if err != nil {
		return err
	}
	var texts []string
	for i := range messages {
		texts = append(texts, show(&messages[i]))
	}
	if !slices.Equal(texts, s.Are) {
		return fmt.Errorf("the history is\n%s\nwant\n%s", list(texts), list(s.Are))
	}
	return nil
}

func (a *actor) watch(ctx context.Context, s *Step) error {
	var ids []parley.ConversationID
	for _, room := range s.Rooms {
		id, err := a.p.room(room)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	_, err := a.client.Watch(ctx, ids...)
	return err
}

func (a *actor) setProfile(ctx context.Context, s *Step) error {
	change := client.ProfileChange{Name: s.Name, Picture: s.Picture}
	if s.LastSeenTo != "" {
		to := map[string]parley.Privacy{"shared": parley.Shared, "everybody": parley.Everybody, "nobody": parley.Nobody}[s.LastSeenTo]
		change.LastSeenTo = &to
	}
	_, err := a.client.SetProfile(ctx, change)
	return err
}

// revoke shuts out the device that is called like an actor.
func (a *actor) revoke(ctx context.Context, name string) error {
	devices, err := a.client.Devices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.Name == name {
			return a.client.Revoke(ctx, d.ID)
		}
	}
	return fmt.Errorf("%s has no device %q", a.User, name)
}

// list is texts below each other; of many, the ends.
func list(texts []string) string {
	const most = 30
	if len(texts) > most {
		texts = slices.Concat(texts[:most/2], []string{fmt.Sprintf("… and %d more …", len(texts)-most)}, texts[len(texts)-most/2:])
	}
	return "\t" + strings.Join(texts, "\n\t")
}
