package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Options tune a service. The zero value is ready for production.
type Options struct {
	// Engine tunes the engine below. Applied belongs to the service.
	Engine engine.Options

	// BodyMax bounds a message's body in bytes. It is proposed to the log and
	// holds from there on. Default 60 KiB.
	BodyMax int

	// GroupMax bounds the members of a group. Proposed like BodyMax. Default
	// 500.
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
}

// subjectMax bounds a token's subject, in bytes.
const subjectMax = 128

// titleMax bounds a conversation's title, in bytes.
const titleMax = 200

// Open opens the store in a folder with the rules of chat.
func Open(fs vfs.FS, dir string, opts Options) (*Service, error) {
	s := &Service{machine: &Machine{options: opts}, opts: opts}
	if opts.Deliverer != nil {
		s.machine.effects = &effects{}
		opts.Engine.Applied = func() { s.machine.effects.deliver(opts.Deliverer) }
	}
	e, err := engine.Open(fs, dir, s.machine, opts.Engine)
	if err != nil {
		return nil, err
	}
	s.engine = e
	if err := s.proposeSettings(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
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
		want.groupMax = uint16(min(s.opts.GroupMax, math.MaxUint16))
	}
	if s.opts.FanoutMax > 0 {
		want.fanoutMax = uint16(min(s.opts.FanoutMax, math.MaxUint16))
	}
	s.bodyMax = int(want.bodyMax)
	var cmds []engine.Command
	for p := range s.engine.Partitions() {
		now := defaultSettings
		s.engine.View(parley.PartitionID(p), func(v *engine.View) {
			if slot := v.Find(settingsKey); slot != nil {
				now = *slot.Row().(*settings)
			}
		})
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

// refusal is an error that says all a refusal has to say.
func refusal(r engine.Result) error {
	if r.Code == parley.RetryInOrder {
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

// append applies one command of a conversation and returns what became of it.
func (s *Service) append(ctx context.Context, tenant parley.TenantID, key [16]byte, kind uint8, body []byte) (engine.Result, error) {
	results, err := s.engine.AppendWait(ctx, engine.Command{
		Partition: s.engine.Partition(tenant, key), Kind: kind, Version: commandVersion, Tenant: tenant, Body: body,
	})
	if err != nil {
		return engine.Result{}, err
	}
	if results[0].Code != parley.OK {
		return results[0], refusal(results[0])
	}
	return results[0], nil
}

// Login is what a user's device is given at the handshake.
type Login struct {
	parley.Identity
	// Stream is a fresh outbox. A device that has kept one goes on with that.
	Stream      parley.StreamID
	Incarnation parley.Incarnation
}

func userKey(tenant parley.TenantID, subject string) engine.Key {
	in := binary.LittleEndian.AppendUint32(nil, uint32(tenant))
	sum := sha256.Sum256(append(in, subject...))
	return engine.Key{Table: tableUser, A: [16]byte(sum[:16])}
}

// Login finds the user of a token's subject, or makes one at the first login.
func (s *Service) Login(ctx context.Context, tenant parley.TenantID, subject string) (Login, error) {
	if subject == "" || len(subject) > subjectMax || !utf8.ValidString(subject) {
		return Login{}, fmt.Errorf("%w: subject of %d bytes", parley.BadRequest, len(subject))
	}
	id, ok := s.User(tenant, subject)
	if !ok {
		fresh := parley.UserID(randomUUID())
		key := userKey(tenant, subject)
		if _, err := s.append(ctx, tenant, key.A, kindUser, appendText(append([]byte(nil), fresh[:]...), subject)); err != nil {
			return Login{}, err
		}
		if id, ok = s.User(tenant, subject); !ok {
			return Login{}, parley.Unavailable
		}
	}
	return Login{
		Identity: parley.Identity{Tenant: tenant, User: id},
		Stream:   s.newStream(), Incarnation: s.engine.Incarnation(),
	}, nil
}

// User finds a user by the subject of his token.
func (s *Service) User(tenant parley.TenantID, subject string) (id parley.UserID, ok bool) {
	key := userKey(tenant, subject)
	s.engine.View(s.engine.Partition(tenant, key.A), func(v *engine.View) {
		if slot := v.Find(key); slot != nil {
			u := slot.Row().(*user)
			id, ok = u.id, u.subject == subject && u.tenant == tenant
		}
	})
	return id, ok
}

func randomUUID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// newStream gives out an outbox: its birth, so that a forgotten stream is known
// for an old one, and 32 random bits.
func (s *Service) newStream() parley.StreamID {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return parley.StreamID(uint64(uint32(s.now().Unix()))<<32 | uint64(binary.LittleEndian.Uint32(b[:])))
}

func (s *Service) now() time.Time {
	if s.opts.Engine.Now != nil {
		return s.opts.Engine.Now()
	}
	return time.Now()
}
