package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parleychat/parley/bench"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Put load on a server, and judge what comes back",
		Args:  exactly(0, "a scenario: chat"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(benchChatCommand())
	return c
}

// benchFlags are the flags of `bench chat` that are not options of the run.
type benchFlags struct {
	data, json string
}

func benchChatCommand() *cobra.Command {
	var o bench.ChatOptions
	var f benchFlags
	c := &cobra.Command{
		Use:   "chat (--rate R | --inflight K)",
		Short: "Direct conversations: users send each other messages and acknowledge them",
		Long: `Chat connects users over WebSockets and has them send each other messages in
direct conversations. Every acknowledged message is followed to its recipient.

Without --url it starts a server of this binary in a process of its own and
measures what that costs; its data is in --data, or in a temporary folder.

With --rate the messages come at random moments, whether the server keeps up or
not, and a latency counts from the moment at which a message was to be sent.
With --inflight every user keeps so many sends unacknowledged.

Exit status 1 says that a message was lost, doubled, out of order or altered, or
that a count was wrong; the report names which.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return benchChat(cmd, o, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.URL, "url", "", "the server, as ws://host:port/ws; it must run with --dev (default: start one)")
	flags.StringVar(&f.data, "data", "", "folder of the server that is started (default: a temporary one)")
	flags.IntVar(&o.Users, "users", 100, "users, each with one connection")
	flags.IntVar(&o.Conversations, "conversations", 1000, "direct conversations")
	flags.Float64Var(&o.Rate, "rate", 0, "messages offered each second by all users")
	flags.IntVar(&o.InFlight, "inflight", 0, "unacknowledged sends of each user")
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&o.Warmup, "warmup", 2*time.Second, "load before that")
	flags.BoolVar(&o.Receipts, "receipts", true, "recipients acknowledge as delivered and read")
	flags.IntVar(&o.Size, "size", 200, "bytes of a body")
	flags.StringVar(&o.Subprotocol, "subprotocol", "parley.v1.proto", "encoding: parley.v1.proto or parley.v1.json")
	flags.Uint64Var(&o.Seed, "seed", 1, "of who sends when, and where")
	flags.StringVar(&f.json, "json", "", "file for the report as JSON; - is standard output, instead of the text")
	return c
}

func benchChat(cmd *cobra.Command, o bench.ChatOptions, f benchFlags) (err error) {
	if o.URL != "" && f.data != "" {
		return fmt.Errorf("%w: --data is of a server that is started, and --url names one that runs", errUsage)
	}
	if err := o.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	if terminal {
		o.Progress = os.Stderr
	}
	if o.URL == "" {
		executable, err := os.Executable()
		if err != nil {
			return err
		}
		o.Server, err = bench.StartServer(ctx, bench.ServerOptions{Executable: executable, Data: f.data})
		if err != nil {
			return err
		}
		if terminal {
			fmt.Fprintf(os.Stderr, "server: %s, profiles at %s/debug/pprof/\n", o.Server.URL(), o.Server.Admin())
		}
	}
	report, err := bench.Chat(ctx, o)
	if o.Server != nil {
		err = errors.Join(err, o.Server.Stop())
	}
	if report != nil {
		err = errors.Join(err, writeReport(cmd.OutOrStdout(), report, f.json))
	}
	if err == nil && report.Failed() {
		err = fmt.Errorf("%.0f violations", report.Metrics["violations"])
	}
	return err
}

func writeReport(out io.Writer, r *bench.Report, file string) error {
	if file == "-" {
		return r.WriteJSON(out)
	}
	if file != "" {
		w, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := errors.Join(r.WriteJSON(w), w.Close()); err != nil {
			return err
		}
	}
	return r.WriteText(out)
}
