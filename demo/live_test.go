package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/node"
)

// tokens asks a server for development tokens.
func tokens(url string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, subject string) (string, error) {
		ask, err := json.Marshal(map[string]string{"user": subject})
		if err != nil {
			return "", err
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/dev/token", bytes.NewReader(ask))
		if err != nil {
			return "", err
		}
		q.Header.Set("Content-Type", "application/json")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			return "", err
		}
		defer func() { _ = r.Body.Close() }()
		var got struct{ Token string }
		err = json.NewDecoder(r.Body).Decode(&got)
		return got.Token, err
	}
}

// TestPeopleAnswer has the main person write to one of those who live on, who
// reads it and answers; then all leave.
func TestPeopleAnswer(t *testing.T) {
	dir, w := filled(t, small())
	quiet := slog.New(slog.DiscardHandler)
	n, err := node.Open(node.Config{Data: dir, Listen: "127.0.0.1:0", Dev: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	ws := strings.Replace(n.URL(), "http", "ws", 1) + "/ws"
	ctx, stop := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		gone <- Live(ctx, w, LiveOptions{URL: ws, Token: tokens(n.URL()), Pace: 80, Logger: quiet})
	}()
	defer func() {
		stop()
		if err := <-gone; err != nil {
			t.Error(err)
		}
	}()

	main, err := client.Open(client.Options{URL: ws, Logger: quiet, Token: func(ctx context.Context) (string, error) {
		return tokens(n.URL())(ctx, w.Main)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = main.Close() }()
	limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	room, err := main.CreateDirect(limit, w.Lively[0])
	if err != nil {
		t.Fatal(err)
	}
	draft, err := main.SendText(room.ID, "Are you there?")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := main.Watch(limit, room.ID); err != nil {
		t.Error(err)
	}
	answered, inGroups, typed := false, false, false
	for e := range main.Events(limit) {
		if y, ok := e.(client.TypingChanged); ok {
			typed = typed || len(y.Users) > 0
		}
		if r, ok := e.(client.Received); ok {
			for _, m := range r.Messages {
				if m.At.Before(until) || !slices.Contains(w.Lively, m.From) {
					continue
				}
				v, err := main.Conversation(m.Conversation)
				if err != nil {
					t.Fatal(err)
				}
				if m.Conversation == room.ID {
					answered = true
					if !typed { // it was over before it was looked at
						if _, err := main.SendText(room.ID, "And again?"); err != nil {
							t.Fatal(err)
						}
					}
				}
				inGroups = inGroups || v.Kind == parley.Group
			}
		}
		if d, err := main.Draft(draft.ID); err == nil && d.Status == client.Read && answered && inGroups && typed {
			return
		}
	}
	t.Errorf("answered: %v, something in a group: %v, seen typing: %v", answered, inGroups, typed)
}

// TestLiveNamesWhoCannot has a server that lets nobody in.
func TestLiveNamesWhoCannot(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	err := Live(ctx, World{Lively: []string{"ann"}}, LiveOptions{
		URL: "not a url", Token: func(context.Context, string) (string, error) { return "", nil },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "ann") {
		t.Error(err)
	}
}

func Example() {
	w := World{Main: "maya", Lively: []string{"daniel", "tomas"}}
	fmt.Println("log in as", w.Main, "and write to", strings.Join(w.Lively, " or "))
	// Output: log in as maya and write to daniel or tomas
}
