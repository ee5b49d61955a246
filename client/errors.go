package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/parleychat/parley"
)

// Errors of a client. They are matched with errors.Is.
var (
	// ErrClosed reports a use after Close.
	ErrClosed = errors.New("client: closed")

	// ErrInterrupted reports a call whose answer was lost with the connection. It
	// was done, or not; what is there now can be read.
	ErrInterrupted = errors.New("client: the connection ended before the answer")

	// ErrUnknown reports a conversation or a draft that the device does not hold.
	ErrUnknown = errors.New("client: not held here")

	// ErrRevoked reports that the user has shut this device out, or the token that
	// it used. The client has stopped, and the store is as it was; see
	// Options.NewDevice.
	ErrRevoked = errors.New("client: the user has shut this device out")

	// ErrOtherUser reports a token of another user than the store's.
	ErrOtherUser = errors.New("client: the store belongs to another user")
)

// Refusal is what the server answered to a call that it refused. It matches its
// code: errors.Is(err, parley.NotMember).
type Refusal struct {
	Code       parley.Code
	Message    string        // for a developer to read
	Expected   parley.Number // with parley.RetryInOrder
	RetryAfter time.Duration // 0 if the server named none
}

// Error names the code and what the server said.
func (r *Refusal) Error() string {
	if r.Message == "" {
		return "client: refused: " + r.Code.String()
	}
	return fmt.Sprintf("client: refused: %s: %s", r.Code, r.Message)
}

// Unwrap is the code.
func (r *Refusal) Unwrap() error { return r.Code }
