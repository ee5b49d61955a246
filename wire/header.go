package wire

import (
	"encoding/binary"
	"math"
)

// A WebSocket frame (RFC 6455, section 5.2):
//
//	 0               1               2        2, 4 or 10
//	+-+---+---------+-+-------------+--------+----------------+---------+
//	|F|RSV| opcode  |M| length      | longer | key            | payload |
//	|1| 3 |    4    |1|      7      | length | 4 bytes if M   |         |
//	+-+---+---------+-+-------------+--------+----------------+---------+
//
// A length of 126 says that the length is in the next two bytes, 127 that it is
// in the next eight, big-endian, with the highest bit clear; the shortest form
// that holds it is the only one allowed. If M is set, the payload is masked:
// its byte i is XORed with byte i%4 of the key.

// Opcode says what a frame is.
type Opcode byte

// The opcodes. The others are reserved.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xa
)

// Control reports whether the opcode is of a control frame: short, whole, and
// allowed between the fragments of a message.
func (o Opcode) Control() bool { return o&0x8 != 0 }

func (o Opcode) known() bool { return o <= OpBinary || o >= OpClose && o <= OpPong }

// String names the opcode in lower case.
func (o Opcode) String() string {
	switch o {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return "reserved"
}

// HeaderMax is the length of the longest header.
const HeaderMax = 14

// controlMax is the length of the longest payload of a control frame.
const controlMax = 125

// Header is what stands before a frame's payload.
type Header struct {
	Fin    bool // the last frame of a message
	Opcode Opcode
	Masked bool
	Key    [4]byte // if Masked
	Length int     // of the payload
}

// ProtocolError reports frames that RFC 6455 forbids or that we refuse, with
// the code to close the connection with.
type ProtocolError struct {
	Code   CloseCode
	Reason string
}

// Error says what is wrong with the frames.
func (e *ProtocolError) Error() string { return "wire: " + e.Code.String() + ": " + e.Reason }

func protocolError(reason string) *ProtocolError {
	return &ProtocolError{Code: CloseProtocol, Reason: reason}
}

// ParseHeader reads the header that b begins with, and says how many bytes it
// has. Zero bytes and no error mean that more are needed. The error is a
// *ProtocolError, and comes with the first byte that shows it.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Fin, h.Opcode = b[0]&0x80 != 0, Opcode(b[0]&0x0f)
	switch {
	case b[0]&0x70 != 0:
		return h, 0, protocolError("a reserved bit is set")
	case !h.Opcode.known():
		return h, 0, protocolError("a reserved opcode")
	case h.Opcode.Control() && !h.Fin:
		return h, 0, protocolError("a control frame in fragments")
	}
	if len(b) == 1 {
		return h, 0, nil
	}
	h.Masked = b[1]&0x80 != 0
	short := int(b[1] & 0x7f)
	if h.Opcode.Control() && short > controlMax {
		return h, 0, protocolError("a control frame longer than 125 bytes")
	}
	h.Length, n, err = parseLength(b[2:], short)
	if n < 0 || err != nil {
		return h, 0, err
	}
	n += 2
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, nil
		}
		h.Key = [4]byte(b[n:])
		n += 4
	}
	return h, n, nil
}

// parseLength reads the longer length that short announces, and says how many
// bytes of b it has; below zero, more are needed.
func parseLength(b []byte, short int) (length, n int, err error) {
	switch {
	case short == 126:
		if len(b) < 2 {
			return 0, -1, nil
		}
		length = int(binary.BigEndian.Uint16(b))
		if length < 126 {
			return 0, 0, protocolError("a length not in its shortest form")
		}
		return length, 2, nil
	case short == 127:
		if len(b) < 8 {
			return 0, -1, nil
		}
		long := binary.BigEndian.Uint64(b)
		switch {
		case long > math.MaxInt64:
			return 0, 0, protocolError("a length with the highest bit set")
		case long <= math.MaxUint16:
			return 0, 0, protocolError("a length not in its shortest form")
		case long > math.MaxInt:
			return 0, 0, &ProtocolError{Code: CloseTooLarge, Reason: "a frame of more than the address space"}
		}
		return int(long), 8, nil
	}
	return short, 0, nil
}

// AppendHeader appends a header in its shortest form.
func AppendHeader(dst []byte, h Header) []byte {
	first, mask := byte(h.Opcode), byte(0)
	if h.Fin {
		first |= 0x80
	}
	if h.Masked {
		mask = 0x80
	}
	switch {
	case h.Length <= 125:
		dst = append(dst, first, mask|byte(h.Length))
	case h.Length <= math.MaxUint16:
		dst = append(dst, first, mask|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Length))
	default:
		dst = append(dst, first, mask|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Length))
	}
	if h.Masked {
		dst = append(dst, h.Key[:]...)
	}
	return dst
}
