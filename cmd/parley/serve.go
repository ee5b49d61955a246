package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parleychat/parley/node"
)

func serveCommand() *cobra.Command {
	c := node.Config{}
	head, reserve := size(64<<20), size(512<<20)
	password, encrypted := "", false
	cmd := &cobra.Command{
		Use:   "serve (--dev | --keys FILE)",
		Short: "Run the server",
		Long: `Serve runs the server on one port: the WebSocket at /ws, health at /healthz and
/readyz, and a page for trying it out at /. It prints one line when it is ready,
and stops in good order on SIGTERM or an interrupt; a second one ends it at once.

Exit status 0 says that it stopped in good order, 1 that the store or a port
failed: nothing that was acknowledged is lost by that.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Dev == (c.Keys != "") {
				return fmt.Errorf("%w: want --dev, or --keys with the file of the keys that sign your tokens", errUsage)
			}
			c.Chat.Engine.HeadSize, c.Chat.Engine.ReserveBytes = int(head), uint64(reserve)
			if len(c.Presence.Addresses) == 0 && (cmd.Flags().Changed("redis-prefix") || cmd.Flags().Changed("gateway")) {
				return fmt.Errorf("%w: --redis-prefix and --gateway say nothing without --redis", errUsage)
			}
			if err := redis(&c, password, encrypted); err != nil {
				return err
			}
			return serve(cmd, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the public port")
	f.StringVar(&c.AdminListen, "admin-listen", "", "address of metrics and profiles (default: none)")
	f.StringVar(&c.Data, "data", "data", "folder of the store")
	f.BoolVar(&c.Dev, "dev", false, "trust a key made in the data folder, and give tokens to whoever asks")
	f.StringVar(&c.Keys, "keys", "", "file of the keys that tokens are signed with")
	f.StringVar(&c.Issuer, "issuer", "", "the iss that every token must name")
	f.StringVar(&c.Audience, "audience", "", "the aud that every token must name")
	f.StringSliceVar(&c.Gateway.Origins, "origin", nil, "page that may connect from a browser, beside the server's own; * is every page")
	f.IntVar(&c.Chat.Engine.Partitions, "partitions", 256, "partitions of a new store; one that exists keeps its own")
	f.Var(&head, "head-size", "size of a log file and of the memory that mirrors it; four and more are in memory")
	f.BoolVar(&c.Chat.Engine.Buffered, "buffered-log", false, "write the log through the page cache, with a sync each, where O_DIRECT misbehaves")
	f.Var(&reserve, "disk-reserve", "free room on the disk below which sends are refused")
	f.StringSliceVar(&c.Presence.Addresses, "redis", nil, "HOST:PORT of some nodes of a Redis Cluster, to know who is online on all gateways (default: in memory)")
	f.StringVar(&c.Presence.Username, "redis-user", "", "user at the Redis Cluster")
	f.StringVar(&password, "redis-password-file", "", "file of the password at the Redis Cluster")
	f.BoolVar(&encrypted, "redis-tls", false, "encrypt the connections to the Redis Cluster")
	f.StringVar(&c.Presence.Prefix, "redis-prefix", "parley:presence:", "beginning of every key in Redis, so that installations can share a cluster")
	f.StringVar(&c.Presence.Gateway, "gateway", "", "name of this process among those that share Redis (default: made of the machine's name and the data folder)")
	f.DurationVar(&c.Gateway.Heartbeat, "heartbeat", 30*time.Second, "how often a session is pinged; one that is silent for two is closed")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", 10*time.Second, "how long sessions are given for their answers when the server stops")
	return cmd
}

// redis completes the options of the Redis Cluster, if there is one.
func redis(c *node.Config, passwordFile string, encrypted bool) error {
	o := &c.Presence
	if len(o.Addresses) == 0 {
		if passwordFile != "" || encrypted || o.Username != "" {
			return fmt.Errorf("%w: want --redis with them", errUsage)
		}
		return nil
	}
	if encrypted {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if passwordFile == "" {
		return nil
	}
	text, err := os.ReadFile(passwordFile)
	if err != nil {
		return fmt.Errorf("password of Redis: %w", err)
	}
	o.Password = strings.TrimRight(string(text), "\r\n")
	return nil
}

func serve(cmd *cobra.Command, c node.Config) error {
	raiseDescriptors()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on a second signal ends the process, also during a long replay
	}()
	n, err := node.Open(c)
	if err != nil {
		return err
	}
	if c.Dev {
		slog.Warn("DEVELOPMENT ONLY: whoever reaches this port can be any user")
	}
	if admin := n.AdminURL(); admin != "" {
		slog.Info("metrics and profiles", "at", admin)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), "listening on", n.URL()); err != nil {
		slog.Warn("nobody reads standard output", "err", err)
	}
	return n.Run(ctx)
}

// raiseDescriptors takes as many as the process may have: each session is one.
func raiseDescriptors() {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == limit.Max {
		return
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		slog.Warn("descriptors stay few", "err", err)
	}
}
