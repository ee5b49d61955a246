package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parleychat/parley/demo"
	"github.com/parleychat/parley/node"
)

// demoFlags are the flags of `parley demo` that say nothing of the world.
type demoFlags struct {
	listen, data   string
	live, fillOnly bool
}

func demoCommand() *cobra.Command {
	var o demo.Options
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Try Parley out among people who have talked for years",
		Long: `Demo fills an empty folder with a small world, and serves it as serve --dev does:
people, direct conversations and groups, and years of what they said. Some of the
people live on: they read, answer whoever writes to them, and write by themselves
now and then.

A folder that it has filled before it goes on with, and what was said since is
still there. It touches no folder with anything else in it.

The same --seed gives the same world. Exit status 0 says that the server stopped
in good order, or with --fill-only that the folder is filled.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Users == 0 || o.Messages == 0 || o.Years == 0 {
				return fmt.Errorf("%w: a world of nothing", errUsage)
			}
			if err := o.Check(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return demoRun(cmd, o, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the port")
	flags.StringVar(&f.data, "data", "demo-data", "folder of the store")
	flags.Uint64Var(&o.Seed, "seed", 1, "which world")
	flags.IntVar(&o.Users, "users", 24, "people, 3 to 1000")
	flags.IntVar(&o.Messages, "messages", 20_000, "messages that they have sent, 1 to 5,000,000")
	flags.Float64Var(&o.Years, "years", 3, "how far back they go, 0.01 to 20")
	flags.BoolVar(&f.live, "live", true, "some of the people live on")
	flags.BoolVar(&f.fillOnly, "fill-only", false, "end when the folder is filled")
	return c
}

func demoRun(cmd *cobra.Command, o demo.Options, f demoFlags) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	world, err := demoWorld(ctx, cmd, o, f)
	if err != nil || f.fillOnly {
		return err
	}
	raiseDescriptors()
	n, err := node.Open(node.Config{Data: f.data, Listen: f.listen, Dev: true, DevUsers: []string{world.Main, world.Second}})
	if err != nil {
		return err
	}
	slog.Warn("DEVELOPMENT ONLY: whoever reaches this port can be any user")
	said := fmt.Sprintf("listening on %s\nlog in as %s, who has the fullest list; %s sees the other side\n", n.URL(), world.Main, world.Second)
	if f.live && len(world.Lively) > 0 {
		said += fmt.Sprintf("write to %s: they live, type and answer\n", strings.Join(world.Lively, ", "))
	}
	if _, err := fmt.Fprint(cmd.OutOrStdout(), said); err != nil {
		slog.Warn("nobody reads standard output", "err", err)
	}
	if !f.live {
		return n.Run(ctx)
	}
	return demoServe(ctx, n, world)
}

// demoWorld fills the folder, or says that it goes on with what is there.
func demoWorld(ctx context.Context, cmd *cobra.Command, o demo.Options, f demoFlags) (demo.World, error) {
	found, err := demo.Find(f.data)
	if err != nil {
		return demo.World{}, err
	}
	if term.IsTerminal(int(os.Stderr.Fd())) && found == nil {
		bar := progressbar.NewOptions(o.Messages,
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("filling "+f.data),
			progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
		o.Progress = func(done, _ int) { _ = bar.Set(done) }
		defer func() { _ = bar.Finish() }()
	}
	o.Logger = quietLogger()
	w, err := demo.Prepare(ctx, f.data, o)
	if errors.Is(err, context.Canceled) {
		return w, fmt.Errorf("stopped before %s was filled; remove it before the next start", f.data)
	}
	if err != nil {
		return w, err
	}
	said := "filled"
	if found != nil {
		said = "going on with"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %d people, %d messages of %g years up to %s, seed %d\n",
		said, f.data, w.Users, w.Messages, w.Years, w.Until.Format(time.DateOnly), w.Seed)
	return w, err
}

// demoServe runs the node with people who live in it. They leave first.
func demoServe(ctx context.Context, n *node.Node, w demo.World) error {
	server := "ws" + strings.TrimPrefix(n.URL(), "http") + "/ws"
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	living, leave := context.WithCancel(ctx)
	defer leave()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = demo.Live(living, w, demo.LiveOptions{ // it has logged who could not
			URL: server, Logger: quietLogger(),
			Token: func(ctx context.Context, who string) (string, error) {
				return fetchDevelopmentToken(ctx, server, who)
			},
		})
		<-living.Done()
		end()
	}()
	err := n.Run(serving)
	leave()
	<-gone
	return err
}

// quietLogger tells what goes wrong and nothing else.
func quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
