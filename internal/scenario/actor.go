package scenario

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// actor is a device of a user, with the SDK that is tested. It does what an app
// does: it takes events, and shows what they bring.
type actor struct {
	Actor
	name string
	p    *player

	life   int // of the device: a fresh one has another store
	client *client.Client
	events sync.WaitGroup // takes the events of client

	mu         sync.Mutex // guards below
	connection string
	received   map[parley.ConversationID][]line // as events brought them since it was opened
	restored   map[parley.ConversationID]parley.Seq
	presences  map[string]client.Presence // as told last
	typing     map[parley.ConversationID][]string
	fault      error         // what no SDK may do
	changed    chan struct{} // closed at the next event
}

// line is a message as a scenario writes it.
type line struct {
	seq  parley.Seq
	text string
}

func newActor(p *player, name string, a Actor) *actor {
	return &actor{Actor: a, name: name, p: p, connection: "offline", changed: make(chan struct{})}
}

// open opens the device: the one that was closed, or a fresh one.
func (a *actor) open(ctx context.Context, fresh bool) error {
	if a.client != nil {
		return fmt.Errorf("%s is open", a.name)
	}
	if fresh {
		a.life++
	}
	network, err := a.p.stage.actor(ctx, a.name)
	if err != nil {
		return err
	}
	store, err := client.OpenFileStore(filepath.Join(a.p.folder, fmt.Sprintf("%s-%d.db", a.name, a.life)))
	if err != nil {
		return err
	}
	a.reset()
	a.client, err = client.Open(client.Options{
		URL: network.URL, Store: store, Subprotocol: a.p.subprotocol, CatchUpMax: a.CatchUp,
		Device: client.Device{Name: a.name, Platform: "scenario"},
		Token: func(ctx context.Context) (string, error) {
			return a.p.stage.token(ctx, a.User, a.TokenMs)
		},
		BackoffMin: 20 * time.Millisecond, BackoffMax: time.Second, CloseWait: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	a.events.Go(func() {
		for e := range a.client.Events(context.Background()) {
			a.take(e)
		}
	})
	return nil
}

// reset forgets what was shown.
func (a *actor) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.connection = "offline"
	a.received, a.restored = make(map[parley.ConversationID][]line), make(map[parley.ConversationID]parley.Seq)
	a.presences, a.typing = make(map[string]client.Presence), make(map[parley.ConversationID][]string)
}

// close closes the device. Its store stays.
func (a *actor) close() error {
	if a.client == nil {
		return fmt.Errorf("%s is not open", a.name)
	}
	err := a.client.Close()
	a.events.Wait()
	a.client = nil
	return err
}

// take shows an event.
func (a *actor) take(e client.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := e.(type) {
	case client.Connection:
		a.connection = "offline"
		if e.Online {
			a.connection = "online"
		}
		if e.Synced {
			a.connection = "synced"
		}
	case client.Stopped:
		a.connection = "stopped"
	case client.Received:
		a.takeReceived(e)
	case client.PresenceChanged:
		a.presences[e.Presence.User] = e.Presence
	case client.TypingChanged:
		a.typing[e.Conversation] = e.Users
	case client.Restored:
		a.restored[e.Conversation] = e.From
		shown := a.received[e.Conversation]
		for len(shown) > 0 && shown[len(shown)-1].seq >= e.From {
			shown = shown[:len(shown)-1]
		}
		a.received[e.Conversation] = shown
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// takeReceived adds messages to what is shown. They come in order, none twice.
func (a *actor) takeReceived(e client.Received) {
	shown := a.received[e.Conversation]
	for i := range e.Messages {
		m := &e.Messages[i]
		next := line{m.Seq, show(m)}
		if n := len(shown); n > 0 && shown[n-1].seq >= m.Seq && a.fault == nil {
			a.fault = fmt.Errorf("%s received %d %q after %d %q", a.name, next.seq, next.text, shown[n-1].seq, shown[n-1].text)
		}
		shown = append(shown, next)
	}
	a.received[e.Conversation] = shown
}

// wholeMax is how many bytes of a text are shown; of more, the ends.
const wholeMax = 300

// show writes a message as a scenario does.
func show(m *client.Message) string {
	if m.Event != nil {
		return "* " + m.From + " " + showEvent(m.Event)
	}
	text := m.Text()
	if len(text) > wholeMax {
		points := []rune(text)
		text = fmt.Sprintf("%s…%s (%d bytes)", string(points[:10]), string(points[len(points)-10:]), len(text))
	}
	return m.From + ": " + text
}

func showEvent(e *client.SystemEvent) string {
	users := strings.Join(e.Users, ", ")
	switch e.Type {
	case parley.EventCreated:
		return strings.TrimSuffix("created "+e.Title+" with "+users, " with ")
	case parley.EventAdded:
		return "added " + users
	case parley.EventRemoved:
		return "removed " + users
	case parley.EventLeft:
		return "left"
	case parley.EventRole:
		return "made " + users + " " + e.Role.String()
	case parley.EventRenamed:
		return "named it " + e.Title
	}
	return fmt.Sprintf("event %d", e.Type)
}
