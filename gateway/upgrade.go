package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// upgradeTimeout bounds the write of the answer: on a fresh connection it does
// not wait at all.
const upgradeTimeout = 5 * time.Second

// ServeHTTP is the WebSocket endpoint. It judges the handshake, asks the backend
// who the token is, and takes the connection over. The connection must be plain
// TCP: TLS ends in front of the server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.beginHandshake() {
		s.counters.stopping.Add(1)
		again(http.StatusServiceUnavailable, "the server stops").write(w)
		return
	}
	defer s.handshakes.Done()
	h, no := readHandshake(r, s.options.Origins)
	if no != nil {
		s.counters.handshakes.Add(1)
		no.write(w)
		return
	}
	session, welcome, no := s.login(r.Context(), h)
	switch {
	case no != nil && no.close != 0 && h.browser:
		s.closeAtOnce(w, h, no)
	case no != nil:
		no.write(w)
	default:
		s.upgrade(w, h, session, welcome)
	}
}

func again(status int, reason string) *refusal {
	return refuse(status, reason).with("Retry-After", "1")
}

// beginHandshake has Close wait for this one. It is false when it is too late.
func (s *Server) beginHandshake() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.handshakes.Add(1)
	return true
}

// login asks who a token is and admits a session.
func (s *Server) login(ctx context.Context, h handshake) (*session, *wire.Welcome, *refusal) {
	if s.registry.full() { // before the price of checking a token
		return nil, nil, s.refuseSession()
	}
	select {
	case s.authenticating <- struct{}{}:
		defer func() { <-s.authenticating }()
	default:
		s.counters.authenticating.Add(1)
		return nil, nil, again(http.StatusServiceUnavailable, "too many handshakes at once")
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.AuthenticateTimeout)
	defer cancel()
	defer context.AfterFunc(s.context, cancel)()
	mark := s.shutOut.mark()
	who, welcome, expires, err := s.backend.Authenticate(ctx, h.token, h.device)
	if err != nil {
		s.counters.handshakes.Add(1)
		return nil, nil, s.refuseToken(err)
	}
	var device parley.DeviceID
	copy(device[:], h.device.Device)
	session, err := s.admit(who, device, h.protocol, expires)
	if err != nil {
		s.backend.Ended(0, who, device)
		if errors.Is(err, errUserSessions) {
			s.counters.userSessions.Add(1)
			return nil, nil, again(http.StatusTooManyRequests, "too many sessions of this user")
		}
		return nil, nil, s.refuseSession()
	}
	if no := s.shutOut.since(mark, who.User, device); no != nil {
		s.counters.revoked.Add(1)
		session.ended()
		return nil, nil, no
	}
	welcome.Device = h.device.Device
	if !expires.IsZero() {
		welcome.TokenExpiresInMs = leftOf(expires)
	}
	return session, welcome, nil
}

func (s *Server) refuseSession() *refusal {
	s.counters.sessions.Add(1)
	return again(http.StatusServiceUnavailable, "too many sessions")
}

// refuseToken answers for an error of Authenticate.
func (s *Server) refuseToken(err error) *refusal {
	code, ok := errors.AsType[parley.Code](err)
	switch {
	case ok && code == parley.BadToken:
		return refuse(http.StatusUnauthorized, code.String()).with("WWW-Authenticate", `Bearer error="invalid_token"`).closing(wire.CloseBadToken)
	case ok && code == parley.Revoked:
		return refuseRevoked()
	case ok && !code.Retry():
		return refuse(http.StatusForbidden, code.String())
	case ok:
		return again(http.StatusServiceUnavailable, code.String())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return again(http.StatusServiceUnavailable, "the token was not checked in time")
	}
	s.options.Logger.Error("token not checked", "err", err)
	return again(http.StatusServiceUnavailable, "the token was not checked")
}

// upgrade answers the handshake, with the welcome in the same write, and gives
// the connection to the poller.
func (s *Server) upgrade(w http.ResponseWriter, h handshake, c *session, welcome *wire.Welcome) {
	conn, buffered, err := hijack(w)
	if err != nil {
		s.options.Logger.Error("connection not taken over", "err", err)
		c.ended()
		return
	}
	answer := s.appendWelcome(h.appendAnswer(nil), h.protocol, welcome)
	if err = write(conn, answer); err == nil {
		s.counters.wrote(1, len(answer))
		err = s.poller.adopt(conn, c, buffered)
	}
	if err != nil { // the client has gone, or we are going
		_ = conn.Close()
		c.ended()
	}
}

// hijack takes the connection from net/http, with what was read behind the
// handshake.
func hijack(w http.ResponseWriter) (conn *net.TCPConn, buffered []byte, err error) {
	taken, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection can not be a WebSocket", http.StatusInternalServerError)
		return nil, nil, err
	}
	conn, ok := taken.(*net.TCPConn)
	if !ok {
		_ = taken.Close()
		return nil, nil, errors.New("gateway: the listener's connections are not plain TCP")
	}
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n) // n are there
		buffered = append(buffered, peeked...)
	}
	return conn, buffered, conn.SetDeadline(time.Time{})
}

func write(conn net.Conn, b []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// appendAnswer appends the response that makes the connection a WebSocket.
func (h handshake) appendAnswer(b []byte) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = append(b, wire.AcceptKey(h.key)...)
	b = append(b, "\r\nSec-WebSocket-Protocol: "...)
	b = append(b, h.protocol.String()...)
	return append(b, "\r\n\r\n"...)
}

// appendWelcome appends the first frame of a session.
func (s *Server) appendWelcome(b []byte, p wire.Subprotocol, welcome *wire.Welcome) []byte {
	welcome.HeartbeatMs = uint32(s.options.Heartbeat.Milliseconds())
	welcome.FrameMax = uint32(s.options.FrameMax)
	welcome.RequestsMax = uint32(s.options.RequestsMax)
	item := wire.AppendServerMessage(nil, p, &wire.ServerMessage{Welcome: welcome})
	b = wire.AppendHeader(b, wire.Header{Fin: true, Opcode: p.Opcode(), Length: len(item)})
	return append(b, item...)
}

// refusedLinger bounds how long a client that was refused may keep its
// connection, and refusedBytes what is read of it meanwhile.
const (
	refusedLinger = time.Second
	refusedBytes  = 16 << 10
)

// closeAtOnce refuses a browser's token. A page can not see the status of a
// failed handshake, and would try for ever; so the handshake succeeds, and the
// close code says what is wrong.
func (s *Server) closeAtOnce(w http.ResponseWriter, h handshake, no *refusal) {
	conn, _, err := hijack(w)
	if err != nil {
		return
	}
	defer conn.Close()
	payload := wire.AppendClose(nil, no.close, no.reason)
	b := wire.AppendHeader(h.appendAnswer(nil), wire.Header{Fin: true, Opcode: wire.OpClose, Length: len(payload)})
	if write(conn, append(b, payload...)) != nil || conn.CloseWrite() != nil {
		return
	}
	// Until the client has closed: an end with unread bytes would be a reset, and
	// the close code lost.
	if conn.SetReadDeadline(time.Now().Add(refusedLinger)) == nil {
		_, _ = io.CopyN(io.Discard, conn, refusedBytes)
	}
}
