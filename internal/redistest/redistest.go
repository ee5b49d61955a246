// Package redistest runs a real Redis Cluster of three masters for tests.
//
//	cluster, err := redistest.Start()
//	defer cluster.Close()
//	cluster.Pause(0) // it hears nothing more, and holds its connections
//
// The servers listen on the loopback device alone, on ports that are free, keep
// nothing on disk but the plan of the cluster, in a folder of their own, and are
// ended by their process. They need redis-server and redis-cli, which make tools
// installs. Without them Start fails and says so; a test must fail with it, not
// skip.
package redistest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Masters is how many servers a cluster has.
const Masters = 3

// startMax is how long a cluster may take to be ready.
const startMax = 30 * time.Second

// Cluster is three masters that share the slots. Its methods are for one goroutine
// at a time.
type Cluster struct {
	dir   string
	roots *x509.CertPool // nil: plain
	nodes []node         // the masters, then replicas
}

type node struct {
	port, busPort int
	process       *exec.Cmd
}

// Start starts a cluster and returns when it serves. Close ends it.
func Start() (*Cluster, error) { return start(false) }

func start(encrypted bool) (*Cluster, error) {
	for _, tool := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing, run: make tools: %w", tool, err)
		}
	}
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, nodes: make([]node, Masters)}
	if encrypted {
		err = c.makeCertificate()
	}
	if err == nil {
		err = c.create()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) create() error {
	for i := range c.nodes {
		if err := c.startOnFreePorts(i); err != nil {
			return err
		}
	}
	args := append(c.clientArgs(), "--cluster", "create")
	args = append(args, c.Addresses()...)
	args = append(args, "--cluster-replicas", "0", "--cluster-yes")
	if out, err := exec.Command("redis-cli", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("redis-cli --cluster create: %w\n%s", err, out)
	}
	return c.WaitReady()
}

// startOnFreePorts tries several times, for others take ports, too.
func (c *Cluster) startOnFreePorts(i int) (err error) {
	for range 10 {
		n := &c.nodes[i]
		if n.port, err = freePort(); err != nil {
			return err
		}
		if n.busPort, err = freePort(); err != nil {
			return err
		}
		if err = c.Restart(i); err == nil {
			return nil
		}
	}
	return err
}

// freePort finds one below those that the system gives to outgoing connections,
// so that a server which comes back finds its port free.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port")
}

// Addresses are the masters', as host:port.
func (c *Cluster) Addresses() []string {
	list := make([]string, Masters)
	for i := range list {
		list[i] = "127.0.0.1:" + strconv.Itoa(c.nodes[i].port)
	}
	return list
}

// Kill ends a master by SIGKILL. All that it held is lost.
func (c *Cluster) Kill(i int) error {
	p := c.nodes[i].process
	if p == nil {
		return nil
	}
	c.nodes[i].process = nil
	err := p.Process.Kill()
	_ = p.Wait() // it says that the process was killed
	return err
}

// Restart starts a master that was killed: at its place, empty. It returns when
// the server answers; WaitReady says when the cluster serves.
func (c *Cluster) Restart(i int) error {
	n := &c.nodes[i]
	if n.process != nil {
		return nil
	}
	dir := filepath.Join(c.dir, strconv.Itoa(i))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := append(c.serverArgs(strconv.Itoa(n.port)), "--cluster-port", strconv.Itoa(n.busPort), "--bind", "127.0.0.1",
		"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
		"--dir", dir, "--logfile", "redis.log", "--save", "", "--appendonly", "no")
	p := exec.Command("redis-server", args...)
	dieWithParent(p)
	if err := p.Start(); err != nil {
		return err
	}
	n.process = p
	for deadline := time.Now().Add(startMax / 3); ; time.Sleep(20 * time.Millisecond) {
		if out, err := c.ask(i, "PING"); err == nil && strings.TrimSpace(out) == "PONG" {
			return nil
		}
		if time.Now().After(deadline) || p.Process.Signal(syscall.Signal(0)) != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "redis.log"))
			return errors.Join(fmt.Errorf("redis-server on port %d does not answer:\n%s", n.port, log), c.Kill(i))
		}
	}
}

// AddReplica gives a master a replica, which takes over some seconds after the
// master is gone. It returns when the replica has all that the master holds.
func (c *Cluster) AddReplica(of int) error {
	id, err := c.ask(of, "CLUSTER", "MYID")
	if err != nil {
		return err
	}
	i := len(c.nodes)
	c.nodes = append(c.nodes, node{})
	if err := c.startOnFreePorts(i); err != nil {
		return err
	}
	port, busPort := strconv.Itoa(c.nodes[of].port), strconv.Itoa(c.nodes[of].busPort)
	if out, err := c.ask(i, "CLUSTER", "MEET", "127.0.0.1", port, busPort); err != nil {
		return fmt.Errorf("CLUSTER MEET: %w\n%s", err, out)
	}
	replica := false // until the two have met that is refused
	for deadline := time.Now().Add(startMax); ; time.Sleep(50 * time.Millisecond) {
		var out string
		if replica {
			out, err = c.ask(i, "INFO", "replication")
		} else {
			out, err = c.ask(i, "CLUSTER", "REPLICATE", strings.TrimSpace(id))
			replica = strings.HasPrefix(out, "OK")
		}
		if strings.Contains(out, "master_link_status:up") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no replica after %v: %s, %v", startMax, out, err)
		}
	}
}

// Pause stops a master by SIGSTOP: it holds its connections and answers nothing.
func (c *Cluster) Pause(i int) error { return c.signal(i, syscall.SIGSTOP) }

// Resume lets a paused master go on.
func (c *Cluster) Resume(i int) error { return c.signal(i, syscall.SIGCONT) }

func (c *Cluster) signal(i int, s os.Signal) error {
	if p := c.nodes[i].process; p != nil {
		return p.Process.Signal(s)
	}
	return fmt.Errorf("master %d does not run", i)
}

// WaitReady returns when every master says that the cluster serves.
func (c *Cluster) WaitReady() error {
	for deadline := time.Now().Add(startMax); ; time.Sleep(50 * time.Millisecond) {
		ready := 0
		for i := range Masters {
			if out, err := c.ask(i, "CLUSTER", "INFO"); err == nil && strings.Contains(out, "cluster_state:ok") {
				ready++
			}
		}
		if ready == Masters {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d masters are ready after %v", ready, Masters, startMax)
		}
	}
}

// AskMaster sends a command to one master through redis-cli, and returns what it
// printed.
func (c *Cluster) AskMaster(i int, command ...string) (string, error) { return c.ask(i, command...) }

// Ask sends a command through redis-cli, to whichever master has the key, and
// returns what it printed.
func (c *Cluster) Ask(command ...string) (string, error) {
	return c.ask(0, append([]string{"-c"}, command...)...)
}

func (c *Cluster) ask(i int, command ...string) (string, error) {
	args := append(c.clientArgs(), "-h", "127.0.0.1", "-p", strconv.Itoa(c.nodes[i].port))
	out, err := exec.Command("redis-cli", append(args, command...)...).Output()
	return string(out), err
}

// Close ends the servers, paused ones too, and removes their folder.
func (c *Cluster) Close() error {
	var err error
	for i := range c.nodes {
		err = errors.Join(err, c.Kill(i))
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
