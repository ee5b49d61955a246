package gateway

import (
	"context"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Backend is what the gateway calls.
type Backend interface {
	// Authenticate says who a token is, and what a new session is told; the
	// gateway adds its own limits to it. Of the device its id (none, or 16 bytes),
	// name and platform are set, as the client says they are. A zero expires is
	// never. An error that is a parley.Code says what to answer. It may wait, until
	// ctx is done; it is called off the poller, a bounded number at once.
	//
	// One that succeeded is followed by exactly one Ended.
	Authenticate(ctx context.Context, token string, device *wire.Device) (who parley.Identity, welcome *wire.Welcome, expires time.Time, err error)

	// Submit takes the requests of one WebSocket message, in order. It neither
	// waits nor keeps anything: requests are borrowed until it returns. Every
	// request is answered exactly once by Server.Reply.
	Submit(session wire.SessionID, who parley.Identity, requests []*wire.Request)

	// Ended says that a session is gone, or with session 0 that none came of an
	// Authenticate. No Submit of it follows.
	Ended(session wire.SessionID, who parley.Identity, device parley.DeviceID)
}
