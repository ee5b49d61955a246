package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options say which world. Users, Messages and Years of 0 mean the defaults.
type Options struct {
	// Seed tells one world from another.
	Seed uint64

	// Users is how many people there are, from 3 to 1000. Default 24.
	Users int

	// Messages is how many they have sent, what the server says itself (who
	// joined, who left) not counted. At most 5 million; they take some 100 bytes
	// each. Default 20,000.
	Messages int

	// Years is how far back the oldest lies, at most 20. Default 3.
	Years float64

	// Until is the moment at which the history ends. Its location says when it
	// was night. Default time.Now().
	Until time.Time

	// Progress is called now and then with the messages sent so far. Default
	// nobody is told.
	Progress func(done, total int)

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

const (
	usersMin    = 3
	usersMax    = 1000
	messagesMax = 5_000_000
	yearsMax    = 20
	year        = 365.25 * 24 * float64(time.Hour)
)

// ErrOptions reports options that no world can be made of.
var ErrOptions = errors.New("demo: options")

// Check says what is wrong with the options, as an error that matches
// ErrOptions.
func (o Options) Check() error {
	o = o.withDefaults()
	switch {
	case o.Users < usersMin || o.Users > usersMax:
		return fmt.Errorf("%w: %d users, want %d to %d", ErrOptions, o.Users, usersMin, usersMax)
	case o.Messages < 0 || o.Messages > messagesMax:
		return fmt.Errorf("%w: %d messages, want at most %d", ErrOptions, o.Messages, messagesMax)
	case !(o.Years >= 0.01 && o.Years <= yearsMax):
		return fmt.Errorf("%w: %g years, want 0.01 to %d", ErrOptions, o.Years, yearsMax)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Users == 0 {
		o.Users = 24
	}
	if o.Messages == 0 {
		o.Messages = 20_000
	}
	if o.Years == 0 {
		o.Years = 3
	}
	if o.Until.IsZero() {
		o.Until = time.Now()
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// ago is a part of the world's time before its end.
func (o Options) ago(part float64) time.Time {
	return o.Until.Add(-time.Duration(part * o.Years * year))
}

// start is when the world begins.
func (o Options) start() time.Time { return o.ago(1) }
