package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Play plays a scenario on a stage of its own, with package client for its
// actors. control is where a Control is served. A scenario that must fail is an
// error if it does not.
func Play(ctx context.Context, control string, s *Scenario, subprotocol wire.Subprotocol) error {
	err := play(ctx, control, s, subprotocol)
	if s.FailsAt == 0 {
		return err
	}
	if failed, ok := errors.AsType[*stepError](err); !ok || failed.step != s.FailsAt {
		return fmt.Errorf("it must fail at step %d, and ended with %v", s.FailsAt, err)
	}
	return nil
}

// stepError says at which step a scenario failed.
type stepError struct {
	step int // from 1
	what string
	err  error
}

func (e *stepError) Error() string { return fmt.Sprintf("step %d, %s: %v", e.step, e.what, e.err) }
func (e *stepError) Unwrap() error { return e.err }

func play(ctx context.Context, control string, s *Scenario, subprotocol wire.Subprotocol) (err error) {
	network := &http.Client{Transport: &http.Transport{}}
	defer network.CloseIdleConnections()
	folder, err := os.MkdirTemp("", "parley-scenario")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	stage, err := openRemote(ctx, network, control, s.Flags)
	if err != nil {
		return err
	}
	p := &player{
		stage: stage, subprotocol: subprotocol, folder: folder,
		actors: make(map[string]*actor), rooms: make(map[string]parley.ConversationID), drafts: make(map[string]uint64),
	}
	defer func() { err = errors.Join(err, p.end(err)) }()
	for _, name := range slices.Sorted(maps.Keys(s.Actors)) {
		a := newActor(p, name, s.Actors[name])
		p.actors[name] = a
		if err := a.open(ctx, false); err != nil {
			return err
		}
		if err := p.expect(ctx, &Step{Expect: "connection", Actor: name, Is: "synced"}); err != nil {
			return err
		}
	}
	return p.play(ctx, s.Steps)
}

// player plays one scenario.
type player struct {
	stage       *remote
	subprotocol wire.Subprotocol
	folder      string // of the actors' stores
	actors      map[string]*actor

	mu     sync.Mutex // guards below
	rooms  map[string]parley.ConversationID
	drafts map[string]uint64
}

// end closes all devices and the stage. What the server said is told when
// something failed.
func (p *player) end(failed error) error {
	ctx := context.Background()
	var errs []error
	if failed != nil {
		if said := p.stage.log(ctx); said != "" {
			errs = append(errs, fmt.Errorf("the server said:\n%s", said))
		}
	}
	var closing sync.WaitGroup
	for _, a := range p.actors {
		if a.client != nil {
			closing.Go(func() { _ = a.close() }) // at the end nothing depends on it
		}
	}
	closing.Wait()
	return errors.Join(append(errs, p.stage.end(ctx))...)
}

// play carries out steps, one after the other.
func (p *player) play(ctx context.Context, steps []Step) error {
	for i := range steps {
		s := &steps[i]
		if err := p.step(ctx, s); err != nil {
			return &stepError{i + 1, s.String(), err}
		}
	}
	return nil
}

func (p *player) step(ctx context.Context, s *Step) error {
	err := error(nil)
	switch {
	case s.Do != "":
		err = p.act(ctx, s)
	case s.Stage != "":
		err = p.stage.do(ctx, s)
	case s.Expect != "":
		err = p.expect(ctx, s)
	default:
		err = p.together(ctx, s.Together)
	}
	return errors.Join(err, p.faults())
}

// together plays several lists of steps at the same time.
func (p *player) together(ctx context.Context, branches [][]Step) error {
	errs := make([]error, len(branches))
	var playing sync.WaitGroup
	for i := range branches {
		playing.Go(func() { errs[i] = p.play(ctx, branches[i]) })
	}
	playing.Wait()
	return errors.Join(errs...)
}

// faults are what no SDK may do, whatever a scenario expects.
func (p *player) faults() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.actors)) {
		a := p.actors[name]
		a.mu.Lock()
		errs = append(errs, a.fault)
		a.mu.Unlock()
	}
	return errors.Join(errs...)
}

// room is the conversation that a step is about.
func (p *player) room(name string) (parley.ConversationID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.rooms[name]
	if !ok {
		return id, fmt.Errorf("no conversation was made as %q", name)
	}
	return id, nil
}

// draft is one that a step names.
func (p *player) draft(name string) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.drafts[name]
	if !ok {
		return id, fmt.Errorf("no draft was sent as %q", name)
	}
	return id, nil
}

// String is a step in a few words.
func (s *Step) String() string {
	switch {
	case s.Do != "":
		return s.Actor + " does " + s.Do
	case s.Stage != "":
		return "the stage does " + s.Stage
	case s.Expect != "":
		return s.Actor + "'s " + s.Expect
	}
	return "together"
}
