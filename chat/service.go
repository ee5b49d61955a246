package chat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Options tune a service. The zero value is ready for production.
type Options struct {
	// Engine tunes the engine below. Applied and Completed belong to the service.
	Engine engine.Options

	// BodyMax bounds a message's body in bytes. It is proposed to the log and
	// holds from there on. Default 60 KiB.
	BodyMax int

	// GroupMax bounds the members of a group. Proposed like BodyMax. Default
	// 500, at most 10,000.
	GroupMax int

	// FanoutMax is how many members a conversation may have before a message no
	// longer moves anything for each of them. Proposed like BodyMax. Default
	// 50.
	FanoutMax int

	// Deliverer passes on what was applied to those who are online. Nil: nobody
	// is.
	Deliverer Deliverer
}

// Service is the chat over an engine. Its methods may be called from any
// goroutine.
type Service struct {
	engine  *engine.Engine
	machine *Machine
	opts    Options
	bodyMax int
	epoch   uint64 // of this process: when it opened the store, in microseconds
	earlier beats  // of the processes before, which say nothing more
}

// titleMax bounds a conversation's title, in bytes.
const titleMax = 200

// Open opens the store in a folder with the rules of chat.
func Open(fs vfs.FS, dir string, opts Options) (*Service, error) {
	s := &Service{machine: &Machine{options: opts}, opts: opts}
	if opts.Deliverer != nil {
		s.machine.effects = &effects{}
		opts.Engine.Applied = func() { s.machine.effects.deliver(opts.Deliverer) }
		opts.Engine.Completed = opts.Deliverer.Delivered
	}
	e, err := engine.Open(fs, dir, s.machine, opts.Engine)
	if err != nil {
		return nil, err
	}
	s.engine = e
	s.earlier = s.beats()
	s.epoch = s.newEpoch()
	if err := s.proposeSettings(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
}

// newEpoch names this process: later than all that were before, whatever the
// clock says.
func (s *Service) newEpoch() uint64 {
	epoch := uint64(max(s.now().UnixMicro(), 1))
	if n := len(s.earlier.epochs); n > 0 {
		epoch = max(epoch, s.earlier.epochs[n-1].epoch+1)
	}
	return epoch
}

// Close finishes what was taken and releases the folder.
func (s *Service) Close() error { return s.engine.Close() }

// Engine is the engine below, for its figures, checkpoints and state.
func (s *Service) Engine() *engine.Engine { return s.engine }

// proposeSettings has the log say what the options want, where it does not say
// so already.
func (s *Service) proposeSettings() error {
	want := defaultSettings
	if s.opts.BodyMax > 0 {
		want.bodyMax = uint32(min(s.opts.BodyMax, math.MaxInt32))
	}
	if s.opts.GroupMax > 0 {
		want.groupMax = uint16(min(s.opts.GroupMax, placesMax))
	}
	if s.opts.FanoutMax > 0 {
		want.fanoutMax = uint16(min(s.opts.FanoutMax, math.MaxUint16))
	}
	s.bodyMax = int(want.bodyMax)
	var cmds []engine.Command
	for p := range s.engine.Partitions() {
		var now settings
		s.engine.View(parley.PartitionID(p), func(v *engine.View) { now = obeyedBy(v) })
		if now != want {
			cmds = append(cmds, engine.Command{
				Partition: parley.PartitionID(p), Kind: kindSettings, Version: commandVersion, Body: want.appendBody(nil),
			})
		}
	}
	if len(cmds) == 0 {
		return nil
	}
	results, err := s.engine.AppendWait(context.Background(), cmds...)
	if err != nil {
		return fmt.Errorf("chat: settings: %w", err)
	}
	for _, r := range results {
		if r.Code != parley.OK {
			return fmt.Errorf("chat: settings: %w", r.Code)
		}
	}
	return nil
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// refusal is an error that says all a refusal has to say, nil where there is
// none.
func refusal(r *engine.Result) error {
	switch r.Code {
	case parley.OK:
		return nil
	case parley.RetryInOrder:
		return &OrderError{Expected: r.Expected}
	}
	return r.Code
}

// OrderError says which number a stream must go on with. It matches
// parley.RetryInOrder.
type OrderError struct{ Expected parley.Number }

// Error names the number.
func (e *OrderError) Error() string {
	return fmt.Sprintf("%v: number %d is next", parley.RetryInOrder, e.Expected)
}

// Is reports whether target is parley.RetryInOrder.
func (e *OrderError) Is(target error) bool { return target == parley.RetryInOrder }

// append applies one command. A refusal is the error. One that grows the rows is
// refused where memory is full of them.
func (s *Service) append(ctx context.Context, p parley.PartitionID, tenant parley.TenantID, kind uint8, body []byte) error {
	done := make(chan struct{})
	b := &engine.Batch{
		Commands: []engine.Command{{Partition: p, Kind: kind, Version: commandVersion, Tenant: tenant, Body: body}},
		Grows:    kind == kindUser || kind == kindCreate,
		Done:     func(*engine.Batch) { close(done) },
	}
	if err := s.engine.Append(b); err != nil {
		return err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.Err != nil {
		return b.Err
	}
	return refusal(&b.Results[0])
}

// appendTo applies one command of a conversation.
func (s *Service) appendTo(ctx context.Context, by parley.Identity, c parley.ConversationID, kind uint8, body []byte) error {
	return s.append(ctx, s.engine.Partition(by.Tenant, c), by.Tenant, kind, body)
}

func (s *Service) now() time.Time {
	if s.opts.Engine.Now != nil {
		return s.opts.Engine.Now()
	}
	return time.Now()
}
