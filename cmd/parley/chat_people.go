package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// watchOpen has the client hear of the conversation that is open. Its answer is
// not waited for: the client asks by itself, and what comes of it are events.
func (s *chatSession) watchOpen() {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, _ = s.c.Watch(ctx, s.open)
}

// typing shows who writes in what is open, to a person: a script has no use for
// what may be taken back.
func (s *chatSession) typing(e client.TypingChanged) {
	if !s.tty || e.Conversation != s.open || len(e.Users) == 0 {
		return
	}
	verb := " is typing"
	if len(e.Users) > 1 {
		verb = " are typing"
	}
	s.print("[" + s.name(s.open) + "] " + chatClean(strings.Join(e.Users, ", ")) + verb)
}

// who shows the others of what is open.
func (s *chatSession) who(ctx context.Context) error {
	if s.open.IsZero() {
		return errNothingOpen
	}
	members, err := s.c.Members(ctx, s.open)
	if err != nil {
		return err
	}
	var users []string
	for _, m := range members {
		if m.User != s.c.User() {
			users = append(users, m.User)
		}
	}
	presences, err := s.c.Presence(ctx, users...)
	if err != nil {
		return err
	}
	for _, p := range presences {
		s.print(fmt.Sprintf("[%s] %s: %s", s.name(s.open), chatClean(p.User), chatPresence(p)))
	}
	return nil
}

func chatPresence(p client.Presence) string {
	switch {
	case p.Hidden:
		return "does not show it"
	case p.Online:
		return "online"
	case p.Unsure:
		return "not known"
	}
	return chatSeen(p.LastSeen)
}

func chatSeen(at time.Time) string {
	if at.IsZero() {
		return "offline"
	}
	return "last seen " + at.Local().Format(time.DateTime)
}

// devices lists the user's own.
func (s *chatSession) devices(ctx context.Context) error {
	all, err := s.c.Devices(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		s.print("* device " + chatDevice(&all[i]))
	}
	return nil
}

func chatDevice(d *client.DeviceState) string {
	name := chatClean(d.Name)
	if d.Platform != "" {
		name = strings.TrimSpace(name + " (" + chatClean(d.Platform) + ")")
	}
	var parts []string
	if name != "" {
		parts = append(parts, name)
	}
	if d.Online {
		parts = append(parts, "online")
	} else {
		parts = append(parts, chatSeen(d.LastSeen))
	}
	if d.Current {
		parts = append(parts, "this one")
	}
	return chatDeviceID(d.ID) + ": " + strings.Join(parts, ", ")
}

// chatNameless stands for the devices that name no id.
const chatNameless = "nameless"

// chatDeviceID is as much of an id as tells 16 of them apart.
func chatDeviceID(id parley.DeviceID) string {
	if id.IsZero() {
		return chatNameless
	}
	return hex.EncodeToString(id[:4])
}

// revoke shuts out the device whose id begins so.
func (s *chatSession) revoke(ctx context.Context, prefix string) error {
	if prefix == "" {
		return errors.New("/revoke DEVICE; /devices lists them")
	}
	all, err := s.c.Devices(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(d client.DeviceState) bool {
		if d.ID.IsZero() {
			return prefix != chatNameless
		}
		return !strings.HasPrefix(hex.EncodeToString(d.ID[:]), strings.ToLower(prefix))
	})
	if len(all) != 1 {
		return fmt.Errorf("%d devices begin with %s", len(all), prefix)
	}
	if err := s.c.Revoke(ctx, all[0].ID); err != nil {
		return err
	}
	s.print("* device " + chatDeviceID(all[0].ID) + ": shut out")
	return nil
}
