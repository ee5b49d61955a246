package gateway

import (
	"log/slog"
	"time"

	"github.com/parleychat/parley/wire"
)

// Options tune a gateway. The zero value is ready for production.
type Options struct {
	// Origins are the pages that may connect from a browser, as
	// "https://chat.example.com"; "*" is every page. Those of the host that was
	// asked always may, and so may whoever names no origin, for only browsers
	// do. Others are refused with 403.
	Origins []string

	// SessionsMax bounds the sessions of the process; past it a handshake is
	// refused with 503. Each holds a file descriptor, so keep it well below the
	// limit of the process. Default 16,000.
	SessionsMax int

	// UserSessionsMax bounds the sessions of one user; past it a handshake is
	// refused with 429. Default 16.
	UserSessionsMax int

	// HandshakesMax bounds the handshakes whose token is being checked; past it
	// they are refused with 503. Default 256.
	HandshakesMax int

	// AuthenticateTimeout is how long Backend.Authenticate may take. Default 5 s.
	AuthenticateTimeout time.Duration

	// FrameMax is the length of the longest WebSocket message from a client; a
	// longer one closes the session with 1009 when its header comes. Default
	// wire.FrameMax.
	FrameMax int

	// RequestsMax bounds the requests of a session that are not answered yet;
	// those past it are refused with parley.Overloaded. Default 1024.
	RequestsMax int

	// RequestsPerSecond bounds the requests of a session over time, with a burst
	// of the same number, or of one full frame if that is more. Those past it
	// are refused with parley.Overloaded, and a session that goes on is closed
	// with wire.CloseTooManyRequests. Control frames count too. Default 20,000.
	RequestsPerSecond int

	// PushBytesMax bounds what waits for a session when a push comes; past it
	// the push is dropped, and the client learns it by the next wire.Check.
	// Default 256 KiB.
	PushBytesMax int

	// HintBytesMax bounds what waits for a session when a hint comes; past it the
	// hint is dropped, and nobody is told. Default 16 KiB.
	HintBytesMax int

	// ReplyBytesMax bounds what waits for a session when a reply comes; past it
	// the session is closed with wire.CloseSlow. So a session never holds more
	// than this and one reply. Default 1 MiB.
	ReplyBytesMax int

	// OutboxBytesMax bounds what waits for all sessions; past it pushes and hints
	// are dropped. Default 256 MiB.
	OutboxBytesMax int

	// SlowAfter is how long a session may take to read one write; past it the
	// session is closed with wire.CloseSlow. Default 20 s.
	SlowAfter time.Duration

	// Heartbeat is how often a session is sent a ping and a wire.Check. One of
	// which nothing came for two of them is dead. Default 30 s.
	Heartbeat time.Duration

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

const (
	checkAfter = 2 * time.Second // from the first unchecked push to a wire.Check
	lingerMax  = 3 * time.Second // from the close frame to the end of the socket
	missedMax  = 2               // heartbeats without a byte
	deadLinger = time.Second     // from the close frame to the end of a dead socket
	warnBefore = time.Minute     // from wire.TokenExpiring to the end of the token
)

func (o Options) withDefaults() Options {
	number := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	duration := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	number(&o.SessionsMax, 16_000)
	number(&o.UserSessionsMax, 16)
	number(&o.HandshakesMax, 256)
	number(&o.FrameMax, wire.FrameMax)
	number(&o.RequestsMax, 1024)
	number(&o.RequestsPerSecond, 20_000)
	number(&o.PushBytesMax, 256<<10)
	number(&o.HintBytesMax, 16<<10)
	number(&o.ReplyBytesMax, 1<<20)
	number(&o.OutboxBytesMax, 256<<20)
	duration(&o.AuthenticateTimeout, 5*time.Second)
	duration(&o.SlowAfter, 20*time.Second)
	duration(&o.Heartbeat, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// burst is how many requests may come at once: a full frame always can.
func (o Options) burst() int { return max(o.RequestsPerSecond, wire.RequestsPerFrameMax) }
