package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/client"
)

// matches waits for a line, and returns what its groups matched.
func (k *talker) matches(line string) []string {
	k.t.Helper()
	pattern := regexp.MustCompile("(?m)^" + line + "$")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if found := pattern.FindStringSubmatch(k.text()); found != nil {
			return found[1:]
		}
	}
	k.t.Fatalf("%q was not shown; this was:\n%s", line, k.text())
	return nil
}

func TestChatKnowsWhoIsThere(t *testing.T) {
	s := newChatServer(t)
	ann := startTalker(t, chatFlags{as: "ann", url: s.url()})
	bob := startTalker(t, chatFlags{as: "bob", url: s.url()})
	cat := startTalker(t, chatFlags{as: "cat", url: s.url()})
	for _, k := range []*talker{ann, bob, cat} {
		k.sees("* online")
	}
	ann.types("/who")
	ann.sees("* error: no conversation is open; /to USER opens one")
	ann.types("/group garden bob cat")
	ann.sees("[garden] open")
	cat.sees("[garden] 1 ann: made garden")
	cat.leaves()
	ann.types("/rename the park")
	bob.sees("[the park] 2 ann: named it the park")
	ann.sees("[the park] 2 ann: named it the park")
	bob.types("/to the park")
	bob.sees("[the park] open")
	bob.types("/rename mine")
	bob.matches(`\* error: .*`)
	for range 100 { // cat's socket may be open still
		ann.types("/who")
		ann.sees("[the park] bob: online")
		if strings.Contains(ann.text(), "[the park] cat: last seen 20") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	ann.matches(`\[the park\] cat: last seen 20.*`)
	ann.leaves()
	bob.leaves()
}

// A device that another one shuts out ends, stays out, and comes back as another
// one with what it had not sent.
func TestChatShutsDevicesOut(t *testing.T) {
	s := newChatServer(t)
	laptop := startTalker(t, chatFlags{as: "ann", url: s.url(), store: t.TempDir()})
	laptop.sees("* online")
	phoneStore := t.TempDir()
	phone := startTalker(t, chatFlags{as: "ann", url: s.url(), store: phoneStore})
	phone.sees("* online")
	phone.types("/devices")
	id := phone.matches(`\* device ([0-9a-f]{8}): parley chat \(\w+\), online, this one`)[0]
	laptop.types("/devices")
	laptop.matches(`\* device ` + id + `: parley chat \(\w+\), online`)
	laptop.types("/revoke")
	laptop.sees("* error: /revoke DEVICE; /devices lists them")
	laptop.types("/revoke zzz")
	laptop.sees("* error: 0 devices begin with zzz")
	laptop.types("/revoke " + id)
	laptop.sees("* device " + id + ": shut out")
	if err := <-phone.done; !errors.Is(err, client.ErrRevoked) {
		t.Errorf("the phone ended with %v", err)
	}
	again := startTalker(t, chatFlags{as: "ann", url: s.url(), store: phoneStore})
	if err := <-again.done; !errors.Is(err, client.ErrRevoked) {
		t.Errorf("and then with %v", err)
	}
	another := startTalker(t, chatFlags{as: "ann", url: s.url(), store: phoneStore, newDevice: true})
	another.sees("* online")
	another.leaves()
	laptop.types("/revoke " + laptop.matches(`\* device ([0-9a-f]{8}): .*, this one`)[0])
	if err := <-laptop.done; !errors.Is(err, client.ErrRevoked) {
		t.Errorf("the laptop ended with %v", err)
	}
}

// follower is a client of the SDK and what its events told.
type follower struct {
	*client.Client
	t    *testing.T
	done chan struct{}

	mu     sync.Mutex // guards below
	events []client.Event
}

func follow(t *testing.T, s *chatServer, user string, token func(context.Context) (string, error)) *follower {
	t.Helper()
	flags := &chatFlags{as: user, url: s.url()}
	if token == nil {
		token = flags.token
	}
	c, err := client.Open(client.Options{URL: s.url(), Token: token, Logger: slog.New(slog.DiscardHandler), Device: client.Device{Name: user + "'s phone"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{Client: c, t: t, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for e := range c.Events(context.Background()) {
			f.mu.Lock()
			f.events = append(f.events, e)
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-f.done })
	f.until("in step", func(e client.Event) bool { x, ok := e.(client.Connection); return ok && x.Synced })
	return f
}

// until waits for an event, of those that nobody waited for before.
func (f *follower) until(what string, fits func(client.Event) bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		f.mu.Lock()
		i := slices.IndexFunc(f.events, fits)
		if i >= 0 {
			f.events = f.events[i+1:]
		}
		f.mu.Unlock()
		if i >= 0 {
			return
		}
	}
	f.t.Fatalf("%s: %s was not told", f.User(), what)
}

// What people do for the moment, from device to device through a real server.
func TestPeopleOfTheSDK(t *testing.T) {
	s := newChatServer(t)
	ctx := t.Context()
	ann, bob := follow(t, s, "ann", nil), follow(t, s, "bob", nil)
	room, err := ann.CreateDirect(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	bob.until("the conversation", func(e client.Event) bool { x, ok := e.(client.Changed); return ok && x.Conversation.ID == room.ID })
	here, err := ann.Watch(ctx, room.ID)
	if err != nil || len(here) != 1 || here[0] != (client.Presence{User: "bob", Online: true}) {
		t.Fatalf("there are %+v, %v", here, err)
	}
	users := func(want ...string) func(client.Event) bool {
		return func(e client.Event) bool {
			x, ok := e.(client.TypingChanged)
			return ok && x.Conversation == room.ID && slices.Equal(x.Users, want)
		}
	}
	bob.Typing(room.ID, true)
	ann.until("bob writes", users("bob"))
	bob.Typing(room.ID, false)
	ann.until("bob does not write", users())
	time.Sleep(2 * time.Second) // else the server passes nothing on
	bob.Typing(room.ID, true)
	ann.until("bob writes again", users("bob"))
	if _, err := bob.SendText(room.ID, "hello"); err != nil {
		t.Fatal(err)
	}
	ann.until("bob has written", users())

	name, picture, nobody := "Bob B.", "https://example.org/bob.png", parley.Nobody
	own, err := bob.SetProfile(ctx, client.ProfileChange{Name: &name, Picture: &picture})
	if err != nil || own != (client.Profile{User: "bob", Name: name, Picture: picture}) {
		t.Fatalf("set %+v, %v", own, err)
	}
	ann.until("bob's profile", func(e client.Event) bool {
		x, ok := e.(client.ProfileChanged)
		return ok && x.Profile == client.Profile{User: "bob", Name: name, Picture: picture}
	})
	if v, err := ann.Conversation(room.ID); err != nil || v.Members[0].Name != name || v.Members[0].Picture != picture {
		t.Errorf("bob is %+v, %v", v.Members, err)
	}
	if all, err := ann.Profiles(ctx, "bob", "nobody"); err != nil || len(all) != 2 || all[0].Name != name || all[1] != (client.Profile{User: "nobody"}) {
		t.Errorf("profiles %+v, %v", all, err)
	}
	if _, err := bob.SetProfile(ctx, client.ProfileChange{LastSeenTo: &nobody}); err != nil {
		t.Fatal(err)
	}
	hidden := client.Presence{User: "bob", Hidden: true}
	ann.until("bob hides", func(e client.Event) bool { x, ok := e.(client.PresenceChanged); return ok && x.Presence == hidden })
	shared := parley.Shared
	if _, err := bob.SetProfile(ctx, client.ProfileChange{LastSeenTo: &shared}); err != nil {
		t.Fatal(err)
	}
	ann.until("bob is back", func(e client.Event) bool { x, ok := e.(client.PresenceChanged); return ok && x.Presence.Online })
	gone := time.Now().Add(-time.Second)
	if err := bob.Close(); err != nil {
		t.Fatal(err)
	}
	ann.until("bob is gone", func(e client.Event) bool {
		x, ok := e.(client.PresenceChanged)
		return ok && !x.Presence.Online && x.Presence.LastSeen.After(gone)
	})

	// The server goes and comes back: what is watched is watched again.
	s.end()
	s.start()
	ann.until("the server again", func(e client.Event) bool { x, ok := e.(client.Connection); return ok && x.Synced })
	bob = follow(t, s, "bob", nil)
	ann.until("bob again", func(e client.Event) bool { x, ok := e.(client.PresenceChanged); return ok && x.Presence.Online })
	devices, err := bob.Devices(ctx)
	if err != nil || len(devices) != 2 || devices[0].Name != "bob's phone" || devices[0].Current == devices[1].Current {
		t.Errorf("devices %+v, %v", devices, err)
	}
}

// Sessions end with their tokens; the app hears nothing of it, and no message is
// lost or twice.
func TestTokensOfTheSDKAreRenewed(t *testing.T) {
	s := newChatServer(t)
	key, _, err := auth.LoadOrCreateDevelopmentKey(s.config.Data)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := 0
	ann := follow(t, s, "ann", func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return auth.Sign(key, auth.Claims{Subject: "ann", Expires: time.Now().Add(3 * time.Second)})
	})
	room, err := ann.CreateGroup(t.Context(), "garden")
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := ann.SendText(room.ID, fmt.Sprint("m", sent)); err != nil {
			t.Fatal(err)
		}
		sent++
		mu.Lock()
		enough := asked >= 4
		mu.Unlock()
		if enough {
			break
		}
	}
	received := 0
	for end := time.Now().Add(20 * time.Second); received < sent && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		received = 0
		ann.mu.Lock()
		for _, e := range ann.events {
			switch e := e.(type) {
			case client.Received:
				for i := range e.Messages {
					if e.Messages[i].Event == nil {
						if want := fmt.Sprint("m", received); e.Messages[i].Text() != want {
							t.Fatalf("%q came where %q was next", e.Messages[i].Text(), want)
						}
						received++
					}
				}
			case client.Connection:
				if e.Err != nil {
					t.Errorf("told that %v", e.Err)
				}
			}
		}
		ann.mu.Unlock()
	}
	if received != sent || asked < 4 {
		t.Errorf("%d of %d came, with %d tokens", received, sent, asked)
	}
}
