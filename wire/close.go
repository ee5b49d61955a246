package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// CloseCode says why a connection is closed, in the close frame. Those of RFC
// 6455 are below 3000. Ours say by their range what a client does: 41xx connect
// again, 42xx fix the client, 43xx log in again.
type CloseCode uint16

// The close codes that we send, and CloseNoStatus, which is never sent.
const (
	CloseNormal      CloseCode = 1000
	CloseLeaving     CloseCode = 1001 // a client goes; a server says CloseGoingAway
	CloseProtocol    CloseCode = 1002 // a frame that RFC 6455 forbids
	CloseUnsupported CloseCode = 1003 // text on the binary subprotocol, or the reverse
	CloseNoStatus    CloseCode = 1005 // a close frame without a code
	CloseNotUTF8     CloseCode = 1007
	ClosePolicy      CloseCode = 1008
	CloseTooLarge    CloseCode = 1009
	CloseInternal    CloseCode = 1011

	// Connect again.
	CloseGoingAway  CloseCode = 4100 // after the delay that GoingAway named
	CloseSlow       CloseCode = 4101 // what was sent was not read; sync after connecting
	CloseOverloaded CloseCode = 4102 // later

	// Fix the client.
	CloseBadMessage      CloseCode = 4200 // a payload that is no row of valid messages
	CloseTooManyRequests CloseCode = 4201 // refusals for too many requests were not heeded
	CloseReplaced        CloseCode = 4202 // another connection uses the same stream

	// Log in again.
	CloseBadToken CloseCode = 4300
	CloseExpired  CloseCode = 4301
	CloseRevoked  CloseCode = 4302 // the device, or the token, was shut out by its user
)

var closeNames = map[CloseCode]string{
	CloseNormal: "normal", CloseLeaving: "leaving", CloseProtocol: "protocol_error",
	CloseUnsupported: "unsupported_data", CloseNoStatus: "no_status", CloseNotUTF8: "not_utf8",
	ClosePolicy: "policy", CloseTooLarge: "too_large", CloseInternal: "internal_error",
	CloseGoingAway: "going_away", CloseSlow: "slow", CloseOverloaded: "overloaded",
	CloseBadMessage: "bad_message", CloseTooManyRequests: "too_many_requests", CloseReplaced: "replaced",
	CloseBadToken: "bad_token", CloseExpired: "expired", CloseRevoked: "revoked",
}

// String is the code's name.
func (c CloseCode) String() string {
	if name, ok := closeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("close(%d)", uint16(c))
}

// Retry reports whether a client that was closed with this code connects again
// by itself. It also does when there was no close frame at all.
func (c CloseCode) Retry() bool {
	switch c {
	case CloseLeaving, CloseNoStatus, CloseInternal, 1012, 1013, 1014: // 1012–1014: a proxy restarts, is busy, lost its server
		return true
	}
	return c >= 4100 && c < 4200
}

// onWire reports whether a close frame may carry the code: those that RFC 6455
// and its registry define for that, and those left to libraries and to
// applications.
func (c CloseCode) onWire() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014:
		return true
	}
	return c >= 3000 && c <= 4999
}

// AppendClose appends the payload of a close frame. A reason too long for it is
// cut after a whole letter. CloseNoStatus makes an empty payload.
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	if code == CloseNoStatus {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, clip(validUTF8(reason), controlMax-2)...)
}

// clip cuts valid UTF-8 to at most size bytes.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size]
}

// ParseClose reads the payload of a close frame; an empty one is CloseNoStatus.
// The error is a *ProtocolError.
func ParseClose(payload []byte) (CloseCode, string, error) {
	if len(payload) == 0 {
		return CloseNoStatus, "", nil
	}
	if len(payload) == 1 {
		return 0, "", protocolError("a close code is two bytes")
	}
	code := CloseCode(binary.BigEndian.Uint16(payload))
	if !code.onWire() {
		return 0, "", protocolError("a close code that may not be sent")
	}
	reason := payload[2:]
	if !utf8.Valid(reason) {
		return 0, "", &ProtocolError{Code: CloseNotUTF8, Reason: "a close reason that is not UTF-8"}
	}
	return code, string(reason), nil
}
