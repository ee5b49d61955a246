package parley

import "fmt"

// Code says why something was refused, in a number that crosses the wire and
// the log. Its range says what to do: 1000 and above retry, 2000 and above fix
// the request, 3000 and above log in again. Zero is no refusal. A code is an
// error.
type Code uint16

// The codes. Their numbers are stored and sent; they never change.
const (
	OK Code = 0

	// Retry the same request, later.
	Overloaded    Code = 1001 // a queue is full; nothing was stored
	Stopping      Code = 1002 // the node is going down
	Unavailable   Code = 1003 // the partition cannot answer now
	DiskFull      Code = 1004 // the reserve is reached; reading goes on
	RetryInOrder  Code = 1005 // a number was skipped; the result says which is expected
	ResendUnknown Code = 1006 // the stream is forgotten; look for the message first

	// Fix the request.
	NotMember     Code = 2001 // also where there is no such conversation
	NotAllowed    Code = 2002 // the role does not permit it
	TooLarge      Code = 2003
	BadRequest    Code = 2004
	NumberReused  Code = 2005 // the same number with another body
	AlreadyExists Code = 2006
	GroupFull     Code = 2007
	UnknownUser   Code = 2008
	Unsupported   Code = 2009 // a command or a version this store does not apply

	// Log in again.
	BadToken Code = 3001
	Revoked  Code = 3002 // the device, or the token, was shut out by its user
)

var codeNames = map[Code]string{
	OK: "ok", Overloaded: "overloaded", Stopping: "stopping", Unavailable: "unavailable",
	DiskFull: "disk_full", RetryInOrder: "retry_in_order", ResendUnknown: "resend_unknown",
	NotMember: "not_member", NotAllowed: "not_allowed", TooLarge: "too_large",
	BadRequest: "bad_request", NumberReused: "number_reused", AlreadyExists: "already_exists",
	GroupFull: "group_full", UnknownUser: "unknown_user", Unsupported: "unsupported",
	BadToken: "bad_token", Revoked: "revoked",
}

// String is the code's name on the wire.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code(%d)", uint16(c))
}

// Error makes a code an error, so that errors.Is finds it.
func (c Code) Error() string { return c.String() }

// Retry reports whether the same request may succeed later.
func (c Code) Retry() bool { return c >= 1000 && c < 2000 }
