package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"runtime"
	"time"

	"github.com/parleychat/parley/wire"
)

// Options tune a client. URL and Token must be set; the other zero values are
// right for an app.
type Options struct {
	// URL is where the server is: ws://host:port/ws or wss://….
	URL string

	// Token returns the token to log in with. It is called before each
	// connection, and shortly before the token of one expires; it may go and fetch
	// one. An error is tried again later.
	Token func(ctx context.Context) (string, error)

	// Store keeps the outbox and what the device holds. The client closes it.
	// Default a new MemoryStore.
	Store Store

	// Device is what the user's list of devices calls this one. Default "Go client"
	// on runtime.GOOS. Which device it is, the store knows: an id is made with it,
	// and stays.
	Device Device

	// NewDevice gives the store another id from now on. It is for a user who has
	// logged in again after ErrRevoked: what waits in the outbox is sent, and the
	// device that was shut out stays out.
	NewDevice bool

	// Subprotocol is how messages are written. Default wire.Binary.
	Subprotocol wire.Subprotocol

	// TLS configures wss connections; see DialOptions.
	TLS *tls.Config

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger

	// Window is how many drafts are on their way at once. A larger one is faster
	// over long lines. Default 64; the server's limit holds too.
	Window int

	// OutboxMax and OutboxBytesMax bound what waits to be sent, failed drafts
	// among it. Past them Send refuses with parley.Overloaded. Default 10,000 and
	// 64 MiB.
	OutboxMax      int
	OutboxBytesMax int

	// CatchUpMax is how many messages of a conversation are read after an absence
	// so that events go on without a hole. After more, the newest page comes, and
	// a hole before it. Default 1,000.
	CatchUpMax int

	// BackoffMin and BackoffMax bound the pauses between attempts: the nth is a
	// random part of BackoffMin·2ⁿ, at most of BackoffMax, so that many clients do
	// not come back at once. Default 500 ms and 30 s.
	BackoffMin, BackoffMax time.Duration

	// lateWait is how long bytes of a connection that was reset may take to be
	// handled at the server. Tests shorten it.
	lateWait time.Duration

	// typingEvery is how often it is told that the user writes, and typingEnds how
	// long it holds that somebody does. Tests shorten them.
	typingEvery, typingEnds time.Duration

	// CloseWait is how long Close waits for answers to what is on its way. The
	// rest stays in the store. Default 3 s.
	CloseWait time.Duration
}

func (o Options) withDefaults() Options {
	if o.Store == nil {
		o.Store = NewMemoryStore()
	}
	if o.Subprotocol == 0 {
		o.Subprotocol = wire.Binary
	}
	if o.Device.Name == "" {
		o.Device.Name = "Go client"
	}
	if o.Device.Platform == "" {
		o.Device.Platform = runtime.GOOS
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.Window, 64)
	setDefault(&o.OutboxMax, 10_000)
	setDefault(&o.OutboxBytesMax, 64<<20)
	setDefault(&o.CatchUpMax, 1_000)
	setDefault(&o.BackoffMin, 500*time.Millisecond)
	setDefault(&o.BackoffMax, 30*time.Second)
	setDefault(&o.lateWait, time.Second)
	setDefault(&o.typingEvery, 4*time.Second)
	setDefault(&o.typingEnds, 6*time.Second)
	setDefault(&o.CloseWait, 3*time.Second)
	return o
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}
