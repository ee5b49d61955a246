package wire

import "fmt"

// Subprotocol says how messages are written into a WebSocket message. It is
// agreed at the handshake.
type Subprotocol uint8

// The subprotocols.
const (
	Binary Subprotocol = 1 // parley.v1.proto: Protobuf, each message after its length
	JSON   Subprotocol = 2 // parley.v1.json: a line for each message
)

// TokenSubprotocolPrefix begins the entry of a browser's subprotocol list that
// carries its token, since a page can set no header of a handshake. It is never
// the subprotocol agreed on.
const TokenSubprotocolPrefix = "parley.token."

// String is the name that stands in the handshake.
func (p Subprotocol) String() string {
	switch p {
	case Binary:
		return "parley.v1.proto"
	case JSON:
		return "parley.v1.json"
	}
	return fmt.Sprintf("subprotocol(%d)", uint8(p))
}

// ParseSubprotocol reads what String wrote.
func ParseSubprotocol(name string) (Subprotocol, bool) {
	switch name {
	case "parley.v1.proto":
		return Binary, true
	case "parley.v1.json":
		return JSON, true
	}
	return 0, false
}

// Opcode is the kind of WebSocket message that carries the subprotocol.
func (p Subprotocol) Opcode() Opcode {
	if p == JSON {
		return OpText
	}
	return OpBinary
}
