package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/parleychat/parley"
)

// UsersMax is how many users one Online may name.
const UsersMax = 200

var (
	// ErrDegraded reports that the other processes could not be asked. The answer
	// holds what is known here: true is true, false may be wrong. Asking again
	// later helps.
	ErrDegraded = errors.New("presence: degraded")

	// ErrClosed reports a registry that was closed.
	ErrClosed = errors.New("presence: closed")

	// ErrTooMany reports more than UsersMax users in one question.
	ErrTooMany = errors.New("presence: too many users")
)

// Registry knows who is online. All methods may be called by many goroutines at
// once, and after Close, when they do nothing.
type Registry interface {
	// Connect counts a session of the user's device; the zero device is that of
	// clients which name none. It never waits. Other processes learn of a user's
	// first session within a second or so.
	Connect(u parley.UserID, d parley.DeviceID)

	// Disconnect ends what one Connect with the same arguments began. One without
	// its Connect is ignored. It never waits.
	Disconnect(u parley.UserID, d parley.DeviceID)

	// Online sets into[i] to whether users[i] is online; into must be as long as
	// users. It returns ErrTooMany for more than UsersMax users, ErrDegraded as
	// said there, ErrClosed, or the error of a context that ended first. It waits
	// at most RedisOptions.Timeout.
	Online(ctx context.Context, users []parley.UserID, into []bool) error

	// Watch adds one interest in each of the users; a user named twice counts
	// twice. Changes go to Options.Changed until Unwatch has taken every interest
	// back. To know how a user stands, ask Online after Watch: what changes after
	// that answer is told. It never waits. The caller bounds what it watches;
	// Stats.Watched is the sum.
	Watch(users []parley.UserID)

	// Unwatch takes back one interest in each of the users. Changed may be called
	// once more for a change that was found before. It never waits.
	Unwatch(users []parley.UserID)

	// Stats is what happened since the registry was made.
	Stats() Stats

	// Close gives the lease back, so that other processes see the users of this
	// one offline at once, and returns when everything has stopped: at most a few
	// seconds if Redis is away. A second Close does nothing. Changed must not call
	// it.
	Close() error
}

// Options are those of every registry. The zero value is ready for production.
type Options struct {
	// Changed hears that a watched user came online or went offline. Calls come
	// one at a time, in order for each user; somebody who comes and goes faster
	// than they are told may show as no change at all. It may call every method
	// but Close; what it takes delays later calls and nothing else. Nil: nobody
	// listens.
	Changed func(u parley.UserID, online bool)

	// Logger receives what an operator should see. Default slog.Default().
	Logger *slog.Logger
}

// Stats are counters since the registry was made, and what is now.
type Stats struct {
	// Users is how many have a session in this process; Watched, how many are
	// watched.
	Users, Watched int

	// Queue is how many writes wait, QueueMax their limit. A write beyond it is
	// counted in Dropped, and everything is written anew as soon as Redis can be
	// reached (Rewrites).
	Queue, QueueMax   int
	Dropped, Rewrites uint64

	// Written counts entries written or removed in Redis.
	Written uint64

	// Lookups counts users whose entry was asked for, CacheHits those answered
	// from the cache on this side.
	Lookups, CacheHits uint64

	// Beats counts renewals of the lease, BeatsMissed those that failed.
	Beats, BeatsMissed uint64

	// Void counts removed entries of processes that are gone; VoidDropped, those
	// left for another time because too many waited.
	Void, VoidDropped uint64

	// Degraded counts answers with ErrDegraded.
	Degraded uint64

	// DegradedSince is when Redis was lost, zero while all is well.
	DegradedSince time.Time

	// Superseded is true while another process holds the lease under this one's
	// name. It must not be: gateways need names of their own.
	Superseded bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func checkUsers(users []parley.UserID) error {
	if len(users) > UsersMax {
		return fmt.Errorf("%w: %d, at most %d", ErrTooMany, len(users), UsersMax)
	}
	return nil
}
