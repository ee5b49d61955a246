package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/client"
)

// chatFlags are the flags of `parley chat`.
type chatFlags struct {
	as, url, data, tokenFile, store, to string
	newDevice                           bool
	wait                                time.Duration
}

func chatCommand() *cobra.Command {
	var f chatFlags
	c := &cobra.Command{
		Use:   "chat --as USER",
		Short: "Talk to others, in a terminal or from a script",
		Long: `Chat is a small client. What is typed goes to the conversation that is open;
lines that begin with / are commands:

  /to NAME               open a conversation: a group of that title, or the direct
                         one with that user
  /group TITLE USER...   make a group, and open it
  /add USER...           add users to the group that is open
  /leave                 leave the group that is open
  /rename TITLE          give the group that is open another title
  /who                   say who else is in it, who is online, and since when not
  /list                  list the conversations, with what is unread
  /history [N]           show the last N messages (20)
  /retry                 send what has failed again
  /devices               list your devices
  /revoke DEVICE         shut one out: the beginning of what /devices calls it
  /quit                  end

The token is that of --token-file, or is signed with the development key of
--data, or comes from the server itself, which must then run with --dev.

With --store the messages held, and those not sent yet, stay in that folder for
the next time. Without it they end with the program. A device that was shut out
ends, and stays out; --new-device with the same --store comes back as another one,
if there is a good token.

When the standard output is no terminal, it is these lines, one for each thing
that happens, the name of the conversation in brackets:

  [bob] 3 bob: hello          a message, with its sequence
  [bob] 4 ann: hi ✓           one's own, once the server has it
  [bob] 4 ✓✓ delivered        own messages up to there have arrived
  [bob] 4 ✓✓ read             and were read
  [bob] 5-200 not held        a hole; /history reads it
  [bob] not sent: REASON: hi  refused for good
  [bob] 2 unread              of a conversation that is not open, and in /list
  [bob] open                  after /to and /group
  [bob] gone
  [garden] cat: online        a line for each, after /who; also: last seen TIME,
                              offline, not known, does not show it
  * device 0123abcd: NAME (PLATFORM), online, this one
                              a line for each, after /devices; also: last seen TIME
  * device 0123abcd: shut out   after /revoke
  * online, * offline: REASON, * error: REASON

Messages of the conversation that is open count as read. On a terminal, chat says
who writes there. At the end of the input, it waits until all is sent, and at most
--wait.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.as == "" && f.tokenFile == "" {
				return fmt.Errorf("%w: --as USER says who you are", errUsage)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return chatRun(ctx, f, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.as, "as", "", "who you are")
	flags.StringVar(&f.url, "url", "ws://127.0.0.1:8080/ws", "the server")
	flags.StringVar(&f.data, "data", "", "data folder of a server that runs with --dev, for its key")
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds a token; it is read again for each login")
	flags.StringVar(&f.store, "store", "", "folder to keep messages in (default: nowhere)")
	flags.BoolVar(&f.newDevice, "new-device", false, "be another device from now on: this one was shut out")
	flags.StringVar(&f.to, "to", "", "open this conversation first, as /to does")
	flags.DurationVar(&f.wait, "wait", 10*time.Second, "how long to wait for the server at the end of the input")
	return c
}

// chatRun talks until the input ends, or the context does.
func chatRun(ctx context.Context, f chatFlags, in io.Reader, out io.Writer) error {
	store, err := f.openStore()
	if err != nil {
		return err
	}
	// A person sees what matters in the lines; the log would tear them up.
	c, err := client.Open(client.Options{
		URL: f.url, Token: f.token, Store: store, Logger: slog.New(slog.DiscardHandler),
		Device: client.Device{Name: "parley chat"}, NewDevice: f.newDevice,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	s := newChatSession(c, f.wait)
	err = s.talk(ctx, f.to, in, out)
	return errors.Join(err, c.Close())
}

func (f *chatFlags) openStore() (client.Store, error) {
	if f.store == "" {
		return client.NewMemoryStore(), nil
	}
	if err := os.MkdirAll(f.store, 0o700); err != nil {
		return nil, err
	}
	name := f.as
	if name == "" {
		name = "token"
	}
	return client.OpenFileStore(filepath.Join(f.store, url.PathEscape(name)+".db"))
}

// chatTokenLife is how long a token that chat signs is good for; it signs
// another when it logs in again.
const chatTokenLife = time.Hour

// token is the token for the next login.
func (f *chatFlags) token(ctx context.Context) (string, error) {
	switch {
	case f.tokenFile != "":
		b, err := os.ReadFile(f.tokenFile)
		return strings.TrimSpace(string(b)), err
	case f.data != "":
		key, _, err := auth.LoadOrCreateDevelopmentKey(f.data)
		if err != nil {
			return "", err
		}
		return auth.Sign(key, auth.Claims{Subject: f.as, Expires: time.Now().Add(chatTokenLife)})
	}
	return fetchDevelopmentToken(ctx, f.url, f.as)
}

// fetchDevelopmentToken asks a server that runs with --dev.
func fetchDevelopmentToken(ctx context.Context, server, user string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path, u.RawQuery = "/v1/dev/token", ""
	ask, err := json.Marshal(map[string]string{"user": user})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(ask))
	if err != nil {
		return "", err
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s: %.200s; without --dev it wants --token-file", u, answer.Status, bytes.TrimSpace(b))
	}
	var got struct{ Token string }
	if err := json.Unmarshal(b, &got); err != nil || got.Token == "" {
		return "", fmt.Errorf("%s answered no token", u)
	}
	return got.Token, nil
}
