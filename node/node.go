package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/cluster"
	"github.com/parleychat/parley/gateway"
	"github.com/parleychat/parley/presence"
)

// Node is one server process. Close ends it.
type Node struct {
	// Fixed by Open.
	config      Config
	verifier    *auth.Verifier
	development *auth.Key // nil but with Config.Dev
	service     *chat.Service
	router      *cluster.Router
	presence    presence.Registry
	gateway     *gateway.Server
	public      *http.Server
	admin       *http.Server // nil without Config.AdminListen
	listener    net.Listener
	adminAt     net.Listener
	failed      chan error // what ended the node, the first of it

	servers     sync.WaitGroup
	connections connections
	opened      atomic.Bool // the layers stand
	stopping    atomic.Bool
}

// Open starts a node: when it returns, the store is replayed and the ports are
// open. It refuses a folder that another process has open, whose log was lost,
// or that is damaged, with an error that says what to do.
func Open(config Config) (*Node, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{config: config, failed: make(chan error, 1)}
	if n.verifier, n.development, err = config.verifier(); err != nil {
		return nil, err
	}
	if err := n.listen(); err != nil {
		return nil, err
	}
	n.build()
	n.serve() // a supervisor sees a long replay for what it is
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.stopHTTP())
	}
	n.opened.Store(true)
	return n, nil
}

// listen takes the ports before the store is opened: one that is in use is
// found before a long replay.
func (n *Node) listen() (err error) {
	if n.listener, err = net.Listen("tcp", n.config.Listen); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if n.config.AdminListen == "" {
		return nil
	}
	if n.adminAt, err = net.Listen("tcp", n.config.AdminListen); err != nil {
		return errors.Join(fmt.Errorf("node: %w", err), n.closeListeners())
	}
	return nil
}

func (n *Node) closeListeners() error {
	err := n.listener.Close()
	if n.adminAt != nil {
		err = errors.Join(err, n.adminAt.Close())
	}
	return err
}

// build makes what needs no store.
func (n *Node) build() {
	n.gateway = gateway.New(n.config.Gateway)
	n.router = cluster.New(n.gateway, n.verify, n.config.Cluster)
}

// open starts the layers, the lowest first.
func (n *Node) open() error {
	c := &n.config
	options := c.Chat
	options.Deliverer = n.router
	options.Engine.Failed = n.fail
	var err error
	if n.service, err = chat.Open(vfs.Default, c.Data, options); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if n.presence, err = n.registry(); err != nil {
		return errors.Join(fmt.Errorf("node: %w", err), n.service.Close())
	}
	n.router.Start(n.service, n.presence)
	if err := n.gateway.Start(n.router); err != nil {
		return errors.Join(fmt.Errorf("node: %w", err), n.router.Close(), n.presence.Close(), n.service.Close())
	}
	return nil
}

// registry makes the registry of who is online. A Redis that is away does not keep
// the node from starting.
func (n *Node) registry() (presence.Registry, error) {
	o := n.config.Presence
	o.Changed, o.Logger = n.router.Changed, n.config.Logger
	if len(o.Addresses) == 0 {
		return presence.NewMemory(o.Options), nil
	}
	return presence.OpenRedis(context.Background(), o)
}

// fail has Run end. The engine calls it when it has ended, and a port.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the first counts
	}
}

// URL is where the node listens.
func (n *Node) URL() string { return "http://" + n.listener.Addr().String() }

// AdminURL is where metrics and profiles are, empty where there are none.
func (n *Node) AdminURL() string {
	if n.adminAt == nil {
		return ""
	}
	return "http://" + n.adminAt.Addr().String()
}

// Run serves until ctx ends, and then closes the node. When the store or a port
// fails it closes the node and returns what failed.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return n.Close()
	case err := <-n.failed:
		n.config.Logger.Error("stopping", "err", err)
		return errors.Join(err, n.Close())
	}
}

// Close stops the node in the order that the package names. A second Close
// returns nil.
func (n *Node) Close() error {
	if n.stopping.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.config.DrainTimeout)
	defer cancel()
	// The port stays open until all are gone: who asks is told that we stop.
	if err := n.gateway.Drain(ctx); err != nil {
		n.config.Logger.Warn("sessions were cut before all answers had left", "err", err)
	}
	err := errors.Join(n.stopHTTP(), n.gateway.Close(), n.router.Close())
	return errors.Join(err, n.presence.Close(), n.service.Close())
}
