package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
)

// Stage is a server on a folder of its own, and a network for each actor.
type Stage struct {
	bin   string
	root  string // holds data, and copy once it was saved
	flags []string
	key   *auth.Key // of the folder, which may be away while it is restored

	mu      sync.Mutex // guards below
	server  *server    // nil while it is down
	proxies map[string]*proxy
}

// newStage starts a server that the binary bin is.
func newStage(bin string, flags []string) (*Stage, error) {
	root, err := os.MkdirTemp("", "parley-stage")
	if err != nil {
		return nil, err
	}
	s := &Stage{bin: bin, root: root, flags: flags, proxies: make(map[string]*proxy)}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	if s.key, _, err = auth.LoadOrCreateDevelopmentKey(s.data()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Stage) data() string  { return filepath.Join(s.root, "data") }
func (s *Stage) saved() string { return filepath.Join(s.root, "copy") }

// close ends everything, and removes the folder.
func (s *Stage) close() error {
	for _, p := range s.proxies {
		p.close()
	}
	if s.server != nil {
		s.server.kill()
	}
	return os.RemoveAll(s.root)
}

// said is what the server wrote to standard error in its last run.
func (s *Stage) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return ""
	}
	return s.server.log.String()
}

// listens is where the server is.
func (s *Stage) listens() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return "", false
	}
	return s.server.listen, true
}

// actor makes the network of an actor, unless it is there. It says where it
// begins, and how many connections were made through it.
func (s *Stage) actor(name string) (url string, connections int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proxies[name]
	if p == nil {
		if p, err = newProxy(s.listens); err != nil {
			return "", 0, err
		}
		s.proxies[name] = p
	}
	return "ws://" + p.addr() + "/ws", p.connections(), nil
}

// token is one for a user.
func (s *Stage) token(user string, ttl time.Duration) (string, error) {
	return auth.Sign(s.key, auth.Claims{Tenant: parley.DefaultTenant, Subject: user, Expires: time.Now().Add(ttl)})
}

// do carries out a step that is about the network or the server.
func (s *Stage) do(step *Step) error {
	switch step.Stage {
	case "start":
		return s.start()
	case "stop":
		return s.stop()
	case "kill":
		s.kill()
		return nil
	case "save":
		s.kill()
		return errors.Join(os.CopyFS(s.saved(), os.DirFS(s.data())), s.start())
	case "restore":
		s.kill()
		if err := errors.Join(os.RemoveAll(s.data()), os.CopyFS(s.data(), os.DirFS(s.saved()))); err != nil {
			return err
		}
		return s.start()
	}
	return s.disturb(step)
}

// disturb changes the network of one actor, or of all.
func (s *Stage) disturb(step *Step) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	proxies := s.proxies
	if step.Actor != "" {
		p := s.proxies[step.Actor]
		if p == nil {
			return fmt.Errorf("%s has no network yet", step.Actor)
		}
		proxies = map[string]*proxy{step.Actor: p}
	}
	sides := []side{toServer, toClient}
	switch step.Towards {
	case "server":
		sides = sides[:1]
	case "client":
		sides = sides[1:]
	}
	ms := time.Duration(step.Ms) * time.Millisecond
	for _, p := range proxies {
		switch step.Stage {
		case "cut":
			p.cut()
		case "cutAfter":
			p.set(sides, func(f *faults) { f.cutting, f.cutAfter = true, step.Bytes })
		case "refuse":
			p.refuseFor(ms)
		case "delay":
			p.set(sides, func(f *faults) { f.delay = ms })
		case "split":
			p.set(sides, func(f *faults) { f.split = true })
		case "silence":
			p.silence(sides)
		case "clear":
			p.clear()
		default:
			return fmt.Errorf("unknown stage step %q", step.Stage)
		}
	}
	return nil
}

func (s *Stage) start() error {
	if _, up := s.listens(); up {
		return errors.New("the server runs already")
	}
	run, err := startServer(s.bin, s.data(), s.flags)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = run
	return nil
}

// down takes the server out of the network.
func (s *Stage) down() *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.server
	s.server = nil
	return run
}

func (s *Stage) kill() {
	if run := s.down(); run != nil {
		run.kill()
	}
}

func (s *Stage) stop() error {
	run := s.down()
	if run == nil {
		return errors.New("the server does not run")
	}
	return run.stop()
}
