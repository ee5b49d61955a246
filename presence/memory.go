package presence

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/parleychat/parley"
)

// Memory is a Registry for one process: nobody else has sessions.
type Memory struct {
	options  Options
	sessions sessions
	watches  *watches

	closed atomic.Bool
	done   chan struct{}
	wg     sync.WaitGroup
}

var _ Registry = (*Memory)(nil)

// NewMemory makes a registry that knows of this process alone. Close ends its
// goroutine.
func NewMemory(options Options) *Memory {
	m := &Memory{options: options.withDefaults(), watches: newWatches(), done: make(chan struct{})}
	m.wg.Go(m.tell)
	return m
}

// Connect is described at Registry.
func (m *Memory) Connect(u parley.UserID, d parley.DeviceID) {
	if m.closed.Load() {
		return
	}
	if _, first := m.sessions.connect(deviceKey{u, d}); first {
		m.watches.touch(u)
	}
}

// Disconnect is described at Registry.
func (m *Memory) Disconnect(u parley.UserID, d parley.DeviceID) {
	if m.closed.Load() {
		return
	}
	if _, last := m.sessions.disconnect(deviceKey{u, d}); last {
		m.watches.touch(u)
	}
}

// Online is described at Registry. It is never degraded.
func (m *Memory) Online(ctx context.Context, users []parley.UserID, into []bool) error {
	if err := checkUsers(users); err != nil {
		return err
	}
	if m.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, u := range users {
		into[i] = m.sessions.online(u)
	}
	m.watches.answered(users, into)
	return nil
}

// Watch is described at Registry.
func (m *Memory) Watch(users []parley.UserID) {
	if !m.closed.Load() {
		m.watches.add(users)
	}
}

// Unwatch is described at Registry.
func (m *Memory) Unwatch(users []parley.UserID) { m.watches.remove(users) }

// Stats is described at Registry. What speaks of Redis is zero.
func (m *Memory) Stats() Stats {
	return Stats{Users: int(m.sessions.users.Load()), Watched: m.watches.count()}
}

// Close is described at Registry. It returns nil.
func (m *Memory) Close() error {
	if !m.closed.Swap(true) {
		close(m.done)
	}
	m.wg.Wait()
	return nil
}

func (m *Memory) tell() {
	var batch []parley.UserID
	for {
		select {
		case <-m.done:
			return
		case <-m.watches.wake:
		}
		for {
			batch = m.watches.take(batch[:0], UsersMax)
			if len(batch) == 0 {
				break
			}
			for _, u := range batch {
				m.settle(u)
			}
		}
	}
}

func (m *Memory) settle(u parley.UserID) {
	online := m.sessions.online(u)
	if m.watches.settle(u, online, nil) && m.options.Changed != nil && !m.closed.Load() {
		m.options.Changed(u, online)
	}
}
