package client

import (
	"bufio"
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// DialOptions tune a connection. Only Token has no default.
type DialOptions struct {
	// Token says who connects. It travels in the Authorization header.
	Token string
	// DeviceID says which of the user's devices connects, and Device what it is
	// called. They travel in the query of the URL. Default a device without an id.
	DeviceID parley.DeviceID
	Device   Device
	// Subprotocol is how messages are written. Default wire.Binary.
	Subprotocol wire.Subprotocol
	// LocalAddr is the address to connect from: a *net.TCPAddr. Default any.
	LocalAddr net.Addr
	// TLS configures wss connections. Default the system's roots, and the host of
	// the URL as the server's name.
	TLS *tls.Config
}

// HandshakeError reports a server that answered the upgrade with something
// else.
type HandshakeError struct {
	Status     int           // of HTTP
	RetryAfter time.Duration // 0 if the server named none
	Body       string        // the first few hundred bytes
}

// Error names the status and what came with it.
func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Body != "" {
		s += ": " + e.Body
	}
	return s
}

// errNoWelcome reports a server whose first message is another one.
var errNoWelcome = errors.New("the server did not begin with a welcome")

const (
	// handshakeMax bounds a handshake whose context has no deadline.
	handshakeMax = 30 * time.Second
	// handshakeBytesMax bounds what a server may answer to the upgrade.
	handshakeBytesMax = 16 << 10
)

// Dial connects to a server, given as ws://host:port/ws or wss://…, and returns
// when the server has said who the token is. An URL without a path means /ws.
//
// A server that refuses is a *HandshakeError or a *CloseError.
func Dial(ctx context.Context, serverURL string, o DialOptions) (*Conn, error) {
	if o.Subprotocol == 0 {
		o.Subprotocol = wire.Binary
	}
	u, err := parseURL(serverURL)
	if err != nil {
		return nil, err
	}
	if !o.DeviceID.IsZero() {
		o.Device.addTo(u, o.DeviceID)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeMax)
	defer cancel()
	socket, err := dialSocket(ctx, u, o)
	if err != nil {
		return nil, fmt.Errorf("client: connect to %s: %w", u.Host, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	c, err := handshake(socket, u, o)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = socket.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("client: connect to %s: %w", u.Host, err)
	}
	return c, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("client: %q is not ws://host:port/path or wss://…", s)
	}
	if u.Path == "" {
		u.Path = "/ws"
	}
	return u, nil
}

func dialSocket(ctx context.Context, u *url.URL, o DialOptions) (net.Conn, error) {
	address := u.Host
	if u.Port() == "" {
		port := "80"
		if u.Scheme == "wss" {
			port = "443"
		}
		address = net.JoinHostPort(u.Hostname(), port)
	}
	dialer := net.Dialer{LocalAddr: o.LocalAddr}
	if u.Scheme == "ws" {
		return dialer.DialContext(ctx, "tcp", address)
	}
	config := o.TLS.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.NextProtos = []string{"http/1.1"}
	secure := tls.Dialer{NetDialer: &dialer, Config: config}
	return secure.DialContext(ctx, "tcp", address)
}

// handshake upgrades the socket (RFC 6455, section 4.1) and waits for the
// welcome.
func handshake(socket net.Conn, u *url.URL, o DialOptions) (*Conn, error) {
	var seed [16 + 32]byte
	_, _ = cryptorand.Read(seed[:]) // it does not fail
	key := base64.StdEncoding.EncodeToString(seed[:16])
	if err := writeUpgrade(socket, u, o, key); err != nil {
		return nil, err
	}
	c := &Conn{
		socket:      socket,
		subprotocol: o.Subprotocol,
		frames:      wire.Reassembler{Limit: messageMax},
		keys:        rand.NewChaCha8([32]byte(seed[16:])),
	}
	early, err := readUpgrade(socket, o.Subprotocol, key)
	if err != nil {
		return nil, err
	}
	c.buffer = make([]byte, max(readBuffer, len(early)))
	c.end = copy(c.buffer, early)
	return c, c.readWelcome()
}

func writeUpgrade(socket net.Conn, u *url.URL, o DialOptions, key string) error {
	if strings.ContainsAny(o.Token, "\r\n") {
		return errors.New("a token with a line break")
	}
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		u.RequestURI(), u.Host, key, o.Subprotocol, o.Token)
	_, err := socket.Write(b.Bytes())
	return err
}

// readUpgrade reads the answer, and returns the bytes that came behind it.
func readUpgrade(socket net.Conn, p wire.Subprotocol, key string) (early []byte, err error) {
	r := bufio.NewReaderSize(io.LimitReader(socket, handshakeBytesMax), handshakeBytesMax)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(answer)
	}
	switch h := answer.Header; {
	case !strings.EqualFold(h.Get("Upgrade"), "websocket") || !hasToken(h.Values("Connection"), "upgrade"):
		return nil, errors.New("the server upgraded to something else")
	case h.Get("Sec-WebSocket-Accept") != wire.AcceptKey(key):
		return nil, errors.New("the server's Sec-WebSocket-Accept is wrong")
	case h.Get("Sec-WebSocket-Protocol") != p.String():
		return nil, fmt.Errorf("the server chose the subprotocol %q, not %s", h.Get("Sec-WebSocket-Protocol"), p)
	case h.Get("Sec-WebSocket-Extensions") != "":
		return nil, errors.New("the server chose an extension that was not offered")
	}
	early, _ = r.Peek(r.Buffered())
	return early, nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

func refusal(answer *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 256))
	_ = answer.Body.Close()
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return &HandshakeError{
		Status:     answer.StatusCode,
		RetryAfter: time.Duration(max(seconds, 0)) * time.Second,
		Body:       strings.TrimSpace(strings.ToValidUTF8(string(body), "?")),
	}
}

// readWelcome reads the first WebSocket message. What stands in it behind the
// welcome is for the first Read.
func (c *Conn) readWelcome() error {
	messages, err := c.next()
	if err != nil {
		return err
	}
	w := messages[0].Welcome
	if w == nil {
		return errNoWelcome
	}
	c.welcome = &wire.Welcome{
		User: strings.Clone(w.User), Stream: w.Stream, Incarnation: w.Incarnation, HeartbeatMs: w.HeartbeatMs,
		BodyMax: w.BodyMax, FrameMax: w.FrameMax, RequestsMax: w.RequestsMax,
		Device: bytes.Clone(w.Device), TokenExpiresInMs: w.TokenExpiresInMs,
	}
	c.first = messages[1:]
	c.patience = silenceMax
	if w.HeartbeatMs > 0 {
		c.patience = 2*time.Duration(w.HeartbeatMs)*time.Millisecond + 5*time.Second
	}
	return nil
}
