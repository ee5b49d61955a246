package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/cluster"
	"github.com/parleychat/parley/engine"
	"github.com/parleychat/parley/gateway"
	"github.com/parleychat/parley/presence"
)

// Config is a node's. Data and one of Dev and Keys must be set.
type Config struct {
	// Data is the folder of the store. It is made where it is missing.
	Data string

	// Listen is the address of the public port. Default 127.0.0.1:8080.
	Listen string

	// AdminListen is the address for metrics and profiles, which are not for
	// strangers. Empty: there is none.
	AdminListen string

	// Dev trusts a key that is made in the data folder, and gives tokens to
	// whoever asks. It is for trying Parley out.
	Dev bool

	// DevUsers are the users that the page offers for a login, with Dev. Default
	// ann, bob, cem and dora.
	DevUsers []string

	// Keys is the file of the keys that tokens are checked with. It excludes Dev.
	Keys string

	// Issuer and Audience, where set, must stand in every token.
	Issuer, Audience string

	// DrainTimeout bounds how long sessions are given to receive their answers
	// when the node stops. Default 10 s.
	DrainTimeout time.Duration

	// Chat, Gateway and Cluster tune the layers. Deliverer, Logger, Failed and
	// what clients are told of limits belong to the node.
	Chat    chat.Options
	Gateway gateway.Options
	Cluster cluster.Options

	// Presence is for knowing who is online. With Addresses it is kept in that
	// Redis Cluster, for all gateways that share it; without, in memory. Gateway is
	// made of the machine's name and the data folder where it is empty. Changed and
	// Logger belong to the node.
	Presence presence.RedisOptions

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

const bodyMaxDefault = 60 << 10

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Data == "":
		return c, errors.New("node: no data folder")
	case c.Dev == (c.Keys != ""):
		return c, errors.New("node: tokens need a key: either a file of keys, or the development key")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if len(c.DevUsers) == 0 {
		c.DevUsers = []string{"ann", "bob", "cem", "dora"}
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Chat.BodyMax == 0 {
		c.Chat.BodyMax = bodyMaxDefault
	}
	c.Gateway.Logger, c.Cluster.Logger, c.Chat.Engine.Logger = c.Logger, c.Logger, c.Logger
	c.Cluster.BodyMax = c.Chat.BodyMax
	if c.Presence.Gateway == "" {
		var err error
		if c.Presence.Gateway, err = gatewayName(c.Data); err != nil {
			return c, fmt.Errorf("node: a name for this gateway: %w", err)
		}
	}
	return c, nil
}

// gatewayName names the process that serves a data folder. The next one has the
// same, and takes over what the last one left in Redis if it was killed.
func gatewayName(data string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	folder, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(host + "\x00" + folder))
	return hex.EncodeToString(sum[:8]), nil
}

// verifier opens the keys of the node. The development key is nil but with Dev.
func (c *Config) verifier() (v *auth.Verifier, development *auth.Key, err error) {
	file := c.Keys
	if c.Dev {
		if development, file, err = auth.LoadOrCreateDevelopmentKey(c.Data); err != nil {
			return nil, nil, fmt.Errorf("node: development key: %w", err)
		}
	}
	v, err = auth.Open(file, auth.Options{Issuer: c.Issuer, Audience: c.Audience})
	if err != nil {
		return nil, nil, fmt.Errorf("node: keys: %w", err)
	}
	return v, development, nil
}

// Stats are those of every layer.
type Stats struct {
	Engine  engine.Stats
	Gateway gateway.Stats
	Cluster cluster.Stats
	Auth    auth.Stats

	Presence presence.Stats

	// Connections of the public port that are no sessions, and those refused.
	Connections, ConnectionsMax int64
	ConnectionsRefused          uint64
}

// Stats returns the counts so far.
func (n *Node) Stats() Stats {
	return Stats{
		Engine: n.service.Engine().Stats(), Gateway: n.gateway.Stats(),
		Cluster: n.router.Stats(), Auth: n.verifier.Stats(), Presence: n.presence.Stats(),
		Connections: n.connections.now.Load(), ConnectionsMax: connectionsMax,
		ConnectionsRefused: n.connections.refused.Load(),
	}
}

// verify is what the router asks about tokens.
func (n *Node) verify(token string) (parley.TenantID, string, time.Time, error) {
	c, err := n.verifier.Verify(token)
	return c.Tenant, c.Subject, c.Expires, err
}
