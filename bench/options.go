package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parleychat/parley/wire"
)

// ErrOptions reports options that make no sense.
var ErrOptions = errors.New("bench: wrong options")

// ChatOptions describe a run of Chat.
type ChatOptions struct {
	// Server is a server of ours, whose cost is measured too. Without it URL is
	// the one to connect to, as ws://host:port/ws.
	Server *Server
	URL    string
	// Token gives a token for a user. Nil asks the server's /v1/dev/token.
	Token func(ctx context.Context, user string) (string, error)

	Users         int
	Conversations int // direct ones, each pair at most one
	// Rate is the messages offered each second by all users together, at random
	// moments: an open loop. InFlight is the sends that each user keeps
	// unacknowledged: a closed loop. Exactly one of them is set.
	Rate     float64
	InFlight int

	Duration time.Duration // that is measured
	Warmup   time.Duration // before it, with the same load; zero means 2 s
	Receipts bool          // recipients acknowledge as delivered and read
	Size     int           // bytes of a message's body; zero means 200
	// Subprotocol is the encoding, parley.v1.proto or parley.v1.json; empty means
	// the first.
	Subprotocol string
	Seed        uint64 // of who sends when, and where

	// Progress, where set, gets a bar that is drawn for a terminal.
	Progress io.Writer

	stuckAfter time.Duration // how long nothing may move before a run is given up
	pullAfter  time.Duration // how long pushes may be on their way before what is missing is pulled
}

// The bounds of a run. What is held in memory grows with them.
const (
	usersMax         = 100_000
	conversationsMax = 10_000_000
	inFlightMax      = 4096
	sizeMax          = 32 << 10
)

// Check refuses, as ErrOptions, a run that makes no sense. It does not look for
// the server, so that nobody starts one in vain.
func (o ChatOptions) Check() error {
	o = o.withDefaults()
	_, known := wire.ParseSubprotocol(o.Subprotocol)
	pairs := o.Users * (o.Users - 1) / 2
	switch {
	case !known:
		return fmt.Errorf("%w: no subprotocol %q", ErrOptions, o.Subprotocol)
	case o.Users < 2 || o.Users > usersMax:
		return fmt.Errorf("%w: %d users are not in 2..%d", ErrOptions, o.Users, usersMax)
	case o.Conversations < 1 || o.Conversations > min(pairs, conversationsMax):
		return fmt.Errorf("%w: %d conversations are not in 1..%d; %d users have %d pairs", ErrOptions, o.Conversations, min(pairs, conversationsMax), o.Users, pairs)
	case o.Rate < 0 || o.InFlight < 0 || o.InFlight > inFlightMax:
		return fmt.Errorf("%w: %d in flight is not in 1..%d, or the rate is below zero", ErrOptions, o.InFlight, inFlightMax)
	case (o.Rate > 0) == (o.InFlight > 0):
		return fmt.Errorf("%w: either a rate or a number in flight, not both or none", ErrOptions)
	case o.Duration <= 0 || o.Warmup < 0:
		return fmt.Errorf("%w: nothing would be measured", ErrOptions)
	case o.Size < BodyMin || o.Size > sizeMax:
		return fmt.Errorf("%w: a body of %d bytes is not in %d..%d", ErrOptions, o.Size, BodyMin, sizeMax)
	}
	return nil
}

// withDefaults fills in what was left out.
func (o ChatOptions) withDefaults() ChatOptions {
	if o.Warmup == 0 {
		o.Warmup = 2 * time.Second
	}
	if o.Size == 0 {
		o.Size = 200
	}
	if o.Subprotocol == "" {
		o.Subprotocol = wire.Binary.String()
	}
	if o.stuckAfter == 0 {
		o.stuckAfter = 15 * time.Second
	}
	if o.pullAfter == 0 {
		o.pullAfter = 3 * time.Second // the server checks the count of pushes after two
	}
	if o.Server != nil {
		o.URL = o.Server.URL()
	}
	return o
}
