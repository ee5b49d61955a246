package client

import (
	"context"
	"errors"
	"time"
)

// A session ends with its token, and the server says so a minute before. The
// client asks for the next token while it goes on with this one, then begins
// nothing new, waits for the answers that are due, and connects with the other.
// If no other token is to be had in time, the server ends the session, and what
// was not answered is sent again as after any other loss.

// errRenewed is the end of a session that was left for one with another token.
var errRenewed = errors.New("client: connecting anew with a fresh token")

// tokenShort is the life of a token that a server warns of at once. Such ones
// are worn to the half, or the client would do nothing but connect.
const tokenShort = 2 * time.Minute

// nextToken is the token of the next login.
func (c *Client) nextToken() (string, error) {
	c.mu.Lock()
	token := c.freshToken
	c.freshToken = ""
	c.mu.Unlock()
	if token != "" {
		return token, nil
	}
	return c.o.Token(c.stopping)
}

// tokenExpires has another token fetched. c.mu is held.
func (c *Client) tokenExpires(s *session, left time.Duration) {
	if s.expires {
		return
	}
	s.expires = true
	wait := time.Duration(0)
	if life := time.Duration(s.welcome.TokenExpiresInMs) * time.Millisecond; life > 0 && life < tokenShort {
		wait = left / 2
	}
	ctx, cancel := context.WithCancel(c.stopping)
	s.renewal.Go(func() {
		defer cancel()
		c.fetchToken(ctx, s, wait)
	})
	s.renewal.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
}

// fetchToken asks until there is another token, or the session is over.
func (c *Client) fetchToken(ctx context.Context, s *session, wait time.Duration) {
	for attempt := 1; ; attempt++ {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		token, err := c.o.Token(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.log.Warn("no token for the time after this one", "err", err)
		case token != s.token:
			c.leaveFor(s, token)
			return
		}
		wait = c.o.backoff(attempt)
	}
}

// leaveFor ends a session in good order, for one with another token.
func (c *Client) leaveFor(s *session, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s {
		return
	}
	c.log.Debug("connecting anew", "why", "the token expires")
	c.freshToken = token
	if s.leaving == nil {
		s.leave(errRenewed)
		s.moveOn()
	}
}
