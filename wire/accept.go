package wire

import (
	"crypto/sha1"
	"encoding/base64"
)

// AcceptKey is the answer to the Sec-WebSocket-Key of a handshake (RFC 6455,
// section 4.2.2). It proves that a WebSocket server answered; it protects
// nothing, so SHA-1 is no worse than another hash.
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
