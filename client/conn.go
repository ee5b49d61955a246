package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// CloseError reports a connection that the server ended with a close frame.
type CloseError struct {
	Code   wire.CloseCode
	Reason string
}

// Error names the code and the server's reason.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("the server closed the connection: %d %s", uint16(e.Code), e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

const (
	// messageMax bounds a WebSocket message of the server.
	messageMax = 16 << 20
	// readBuffer is what a connection begins with; it grows with what arrives.
	readBuffer = 4 << 10
	// keptBuffer is the largest buffer that is kept when it is empty.
	keptBuffer = 256 << 10
	// silenceMax is how long a server that names no heartbeat may be silent.
	silenceMax = 2 * time.Minute
	// writeMax is how long a server may take nothing of what is written.
	writeMax = 30 * time.Second
	// goodbyeMax is how long Close may wait for the network.
	goodbyeMax = time.Second
)

// Conn is one connection to a server: the protocol and nothing else. It does
// not connect again, and keeps nothing.
//
// Write and Close may be called from any goroutine, Read from one at a time.
// Somebody must always be reading: pings are answered and the end of the
// connection is seen in Read.
type Conn struct {
	// Fixed at the handshake.
	socket      net.Conn
	subprotocol wire.Subprotocol
	welcome     *wire.Welcome
	patience    time.Duration // how long the server may be silent

	// Owned by Read.
	frames     wire.Reassembler
	decoder    wire.ServerMessageDecoder
	buffer     []byte // what arrived is in [start:end]
	start, end int
	deadline   time.Time             // of the socket, for reading
	first      []*wire.ServerMessage // of the message that began with the welcome
	readErr    error

	mu     sync.Mutex // guards below
	out    []byte
	keys   *rand.ChaCha8
	closed bool
}

// Welcome is what the server said at the beginning. It must not be changed.
func (c *Conn) Welcome() *wire.Welcome { return c.welcome }

// Write sends requests as one WebSocket message, in one write. It returns
// parley.TooLarge, and sends nothing, when they exceed what Welcome allows in
// one message.
//
// No error means that they were handed to the network, not that they arrived.
func (c *Conn) Write(requests ...*wire.Request) error {
	if len(requests) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	b := append(c.out[:0], make([]byte, wire.HeaderMax)...)
	for _, r := range requests {
		b = wire.AppendRequest(b, c.subprotocol, r)
	}
	c.keep(b)
	size := len(b) - wire.HeaderMax
	if limit := int(c.welcome.FrameMax); limit > 0 && size > limit || len(requests) > wire.RequestsPerFrameMax {
		return fmt.Errorf("client: %d requests of %d bytes in one message: %w", len(requests), size, parley.TooLarge)
	}
	return c.writeFrame(c.subprotocol.Opcode(), b, writeMax)
}

// keep has the next Write use this memory, unless it is large.
func (c *Conn) keep(b []byte) {
	if cap(b) <= keptBuffer {
		c.out = b
	}
}

// writeFrame masks and writes a frame whose payload stands behind HeaderMax
// bytes of room. c.mu is held.
func (c *Conn) writeFrame(op wire.Opcode, b []byte, within time.Duration) error {
	payload := b[wire.HeaderMax:]
	h := wire.Header{Fin: true, Opcode: op, Masked: true, Length: len(payload)}
	k := uint32(c.keys.Uint64())
	h.Key = [4]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}
	wire.Mask(payload, h.Key)
	var room [wire.HeaderMax]byte
	header := wire.AppendHeader(room[:0], h)
	start := wire.HeaderMax - len(header)
	copy(b[start:], header)
	if err := c.socket.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if _, err := c.socket.Write(b[start:]); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// Read returns the server messages of the next WebSocket message. They are
// valid until the next Read. Pings are answered on the way.
//
// A connection that the server closed is a *CloseError. Every error stays.
func (c *Conn) Read() ([]*wire.ServerMessage, error) {
	if c.readErr != nil {
		return nil, c.readErr
	}
	if m := c.first; len(m) > 0 {
		c.first = nil
		return m, nil
	}
	messages, err := c.next()
	if err != nil {
		c.readErr = c.ended(err)
		return nil, c.readErr
	}
	return messages, nil
}

// next reads frames until there is one with messages.
func (c *Conn) next() ([]*wire.ServerMessage, error) {
	for {
		frame, err := c.frame()
		if err != nil {
			return nil, err
		}
		switch frame.Opcode {
		case wire.OpContinuation, wire.OpPong:
		case wire.OpPing:
			if err := c.control(wire.OpPong, frame.Payload); err != nil {
				return nil, err
			}
		case wire.OpClose:
			code, reason, _ := wire.ParseClose(frame.Payload) // it was checked
			return nil, &CloseError{Code: code, Reason: reason}
		default:
			if frame.Opcode != c.subprotocol.Opcode() {
				return nil, &wire.ProtocolError{Code: wire.CloseUnsupported, Reason: "a " + frame.Opcode.String() + " message in " + c.subprotocol.String()}
			}
			return c.decoder.Decode(c.subprotocol, frame.Payload)
		}
	}
}

// frame reads the next frame. Its payload is valid until the next call.
func (c *Conn) frame() (wire.Frame, error) {
	for {
		frame, n, err := c.frames.Next(c.buffer[c.start:c.end])
		if err != nil {
			return frame, err
		}
		if n > 0 {
			c.start += n
			return frame, nil
		}
		if err := c.fill(); err != nil {
			return frame, err
		}
	}
}

// fill reads more behind what there is, with room for it.
func (c *Conn) fill() error {
	if c.start > 0 {
		c.end = copy(c.buffer, c.buffer[c.start:c.end])
		c.start = 0
	}
	if c.end == 0 && len(c.buffer) > keptBuffer {
		c.buffer = make([]byte, readBuffer)
	}
	if c.end == len(c.buffer) {
		c.buffer = slices.Grow(c.buffer, len(c.buffer))
		c.buffer = c.buffer[:cap(c.buffer)]
	}
	if err := c.extend(); err != nil {
		return err
	}
	n, err := c.socket.Read(c.buffer[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // without a close frame
	}
	return err
}

// extend moves the deadline for reading, but not at every read.
func (c *Conn) extend() error {
	if c.patience == 0 {
		return nil // the handshake's deadline holds
	}
	now := time.Now()
	if c.deadline.Sub(now) > c.patience*3/4 {
		return nil
	}
	c.deadline = now.Add(c.patience)
	return c.socket.SetReadDeadline(c.deadline)
}

// control writes a control frame.
func (c *Conn) control(op wire.Opcode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	return c.writeFrame(op, append(make([]byte, wire.HeaderMax, wire.HeaderMax+len(payload)), payload...), writeMax)
}

// ended ends the connection after an error of reading: with the close frame that
// RFC 6455 wants where the other side listens, else by a reset.
func (c *Conn) ended(err error) error {
	code := wire.CloseCode(0)
	if e, ok := errors.AsType[*CloseError](err); ok {
		code = e.Code
	} else if e, ok := errors.AsType[*wire.ProtocolError](err); ok {
		code = e.Code
	} else if errors.Is(err, wire.ErrBadMessage) {
		code = wire.CloseBadMessage
	}
	open := false
	if code != 0 {
		open = c.shut(code)
	} else {
		open = c.abort()
	}
	if !open {
		return ErrClosed
	}
	return fmt.Errorf("client: %w", err)
}

// Close says goodbye and ends the connection. What was written and is not
// answered yet may or may not have arrived. A second Close returns nil.
func (c *Conn) Close() error {
	c.shut(wire.CloseNormal)
	return nil
}

// abort resets the connection. What was written and has not left this machine
// never does. It reports false if the connection was closed before.
func (c *Conn) abort() bool {
	if tcp, ok := tcpOf(c.socket); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.socket.SetDeadline(time.Unix(1, 0)) // ends a Write that is stuck
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	if tcp, ok := tcpOf(c.socket); ok {
		_ = tcp.Close() // under TLS, without its goodbye
	}
	_ = c.socket.Close()
	return true
}

func tcpOf(socket net.Conn) (*net.TCPConn, bool) {
	if secure, ok := socket.(*tls.Conn); ok {
		socket = secure.NetConn()
	}
	tcp, ok := socket.(*net.TCPConn)
	return tcp, ok
}

// shut writes a close frame and closes the socket. It reports false if that was
// done before.
func (c *Conn) shut(code wire.CloseCode) bool {
	_ = c.socket.SetWriteDeadline(time.Now().Add(goodbyeMax)) // ends a Write that is stuck
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	b := wire.AppendClose(make([]byte, wire.HeaderMax), code, "")
	_ = c.writeFrame(wire.OpClose, b, goodbyeMax) // best effort: the socket may be gone
	_ = c.socket.Close()
	return true
}
