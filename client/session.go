package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// session is the client's side of one connection. Client.mu guards all but what
// is fixed.
type session struct {
	// Fixed at the welcome.
	c       *Client
	conn    *Conn
	welcome *wire.Welcome
	window  int
	wake    chan struct{} // holds a value when there is something to write
	done    chan struct{} // closed when the session is over

	out     []*wire.Request // to write; bounded by what may be unanswered
	answers map[uint32]func(*wire.ServerMessage)
	lastID  uint32
	over    bool
	leaving error           // why nothing new begins in this one; nil at first
	hints   []*wire.Request // to write, unanswered; one for each conversation at most

	token   string
	expires bool           // the server has said so
	renewal sync.WaitGroup // asks for the next token

	sends         int    // drafts and searches on their way
	calls         int    // of the app, on their way
	pulling       int    // History and GetState requests on their way
	acknowledging int    // Acknowledge requests on their way
	pushes        uint64 // counted as the server counts them
	backIn        time.Duration

	syncing     bool
	syncAgain   bool // something was missed while syncing
	synced      bool
	unavailable bool // a page of this sync was not complete
	seen        map[parley.ConversationID]bool
	syncFails   int

	watching bool      // what is watched was told, or is on its way
	watchAt  time.Time // no retelling before
}

// reserve is how many of the requests that the server allows are left for
// others than sends.
const reserve = 64

func (c *Client) newSession(conn *Conn, token string) *session {
	w := conn.Welcome()
	window := c.o.Window
	if most := int(w.RequestsMax); most > 0 {
		window = min(window, max(most-reserve, most/2, 1))
	}
	return &session{
		c: c, conn: conn, welcome: w, window: window, token: token,
		wake: make(chan struct{}, 1), done: make(chan struct{}), answers: make(map[uint32]func(*wire.ServerMessage)),
	}
}

// ask sends a request. answer is called once, with c.mu held: with the answer,
// borrowed, or with nil when the session ended before, or is being left. c.mu is
// held.
func (s *session) ask(q *wire.Request, answer func(*wire.ServerMessage)) {
	if s.leaving != nil {
		answer(nil)
		return
	}
	for s.lastID++; s.lastID == 0 || s.answers[s.lastID] != nil; s.lastID++ {
	}
	q.Id = s.lastID
	s.answers[q.Id] = answer
	s.out = append(s.out, q)
	s.signal()
}

// leave has nothing new begin in the session: who has something to ask waits for
// the next. c.mu is held.
func (s *session) leave(why error) {
	if s.leaving == nil {
		s.c.online = make(chan struct{})
	}
	s.leaving = why
}

// moveOn ends a session that is being left once what matters is answered: drafts
// and calls. The rest is asked for again in the next. c.mu is held.
func (s *session) moveOn() {
	if s.leaving != nil && s.sends == 0 && s.calls == 0 {
		s.end()
	}
}

// end has the session end. The connection is closed by its writer, so that
// nobody waits here for the network. c.mu is held.
func (s *session) end() {
	if s.leaving == nil {
		s.leave(ErrClosed)
	}
	if !s.over {
		s.over = true
		close(s.done)
	}
}

// renew ends the session so that the next login changes something.
func (s *session) renew(why string) {
	if !s.over {
		s.c.log.Info("connecting anew", "why", why)
		s.end()
	}
}

// write sends what gathers, in as few WebSocket messages as it fits.
func (s *session) write() {
	defer s.hangUp()
	for {
		select {
		case <-s.wake:
		case <-s.done:
			return
		}
		s.c.mu.Lock()
		n := s.allowed()
		out := s.out[:n:n]
		s.out = s.out[n:]
		out, s.hints = append(out, s.hints...), nil
		s.c.mu.Unlock()
		for len(out) > 0 {
			n := s.fitting(out)
			if !s.writeSome(out[:n]) {
				return
			}
			out = out[n:]
		}
	}
}

// hangUp ends the connection: in good order where nothing is unanswered that
// will be sent again, else by a reset.
func (s *session) hangUp() {
	s.c.mu.Lock()
	orderly := s.sends == 0
	s.c.mu.Unlock()
	if orderly {
		_ = s.conn.Close()
	} else {
		s.conn.abort()
	}
}

// allowed is how many requests may be written now: the server closes a session
// that has more unanswered than it said. c.mu is held.
func (s *session) allowed() int {
	most := int(s.welcome.RequestsMax)
	if most == 0 {
		return len(s.out)
	}
	written := len(s.answers) - len(s.out)
	return min(len(s.out), max(most-written, 0))
}

// fitting is how many requests surely fit into one WebSocket message. JSON can
// make six bytes of one.
func (s *session) fitting(out []*wire.Request) int {
	limit := int(s.welcome.FrameMax)
	if limit == 0 {
		limit = wire.FrameMax
	}
	blowUp := 1
	if s.c.o.Subprotocol == wire.JSON {
		blowUp = 6
	}
	size := 0
	for i, q := range out {
		size += (q.SizeVT() + 64) * blowUp
		if i > 0 && (size > limit || i == wire.RequestsPerFrameMax) {
			return i
		}
	}
	return len(out)
}

// writeSome writes requests as one message. One that is too large alone is
// answered here as the server would.
func (s *session) writeSome(out []*wire.Request) bool {
	err := s.conn.Write(out...)
	if errors.Is(err, parley.TooLarge) && len(out) == 1 {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.reply(&wire.ServerMessage{ReplyTo: out[0].Id, Error: &wire.Error{
			Code: uint32(parley.TooLarge), Name: parley.TooLarge.String(), Message: err.Error(),
		}})
		return true
	}
	return err == nil // else the reader sees the end
}

// reply passes an answer on. c.mu is held.
func (s *session) reply(m *wire.ServerMessage) {
	answer := s.answers[m.ReplyTo]
	if answer == nil {
		s.c.log.Warn("an answer to nothing that was asked", "id", m.ReplyTo)
		return
	}
	delete(s.answers, m.ReplyTo)
	answer(m)
	s.moveOn()
	if len(s.out) > 0 {
		s.signal()
	}
}

// signal wakes the writer.
func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// connect keeps the client connected until it stops.
func (c *Client) connect() {
	attempts, refused, hasty := 0, 0, 0
	for c.stopping.Err() == nil {
		began := time.Now()
		welcomed, pause, err := c.connectOnce()
		if c.stopping.Err() != nil {
			break
		}
		if welcomed {
			attempts, refused = 0, 0
		}
		fatal := false
		switch {
		case isRevoked(err):
			err, fatal = fmt.Errorf("%w: %w", ErrRevoked, err), true
		case isLogin(err) && !welcomed: // else it has only ended
			refused++
			fatal = refused > 1
		case isFatal(err):
			fatal = true
		}
		c.disconnected(err, fatal)
		if fatal {
			return
		}
		if (isLogin(err) || errors.Is(err, errRenewed)) && pause == 0 {
			if welcomed && time.Since(began) < sessionShort {
				hasty++
			} else {
				hasty = 0
			}
			if hasty < 2 {
				continue // with another token
			}
		}
		if pause == 0 {
			pause = c.o.backoff(attempts)
			attempts++
		}
		select {
		case <-time.After(pause):
		case <-c.stopping.Done():
		}
	}
}

// sessionShort is a session whose token ended so soon that another is no reason
// to connect again at once, time after time.
const sessionShort = time.Second

// isRevoked reports that the device, or its token, was shut out.
func isRevoked(err error) bool {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code == wire.CloseRevoked
	}
	if e, ok := errors.AsType[*HandshakeError](err); ok {
		return e.Status == http.StatusForbidden && strings.HasPrefix(e.Body, parley.Revoked.String())
	}
	return false
}

// isLogin reports an error that another token may cure.
func isLogin(err error) bool {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code >= 4300 && e.Code < 4400
	}
	if e, ok := errors.AsType[*HandshakeError](err); ok {
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	return false
}

// isFatal reports an error that trying again does not cure.
func isFatal(err error) bool {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code >= 4200 && e.Code < 4300
	}
	return errors.Is(err, ErrOtherUser)
}

// connectOnce connects and reads until the connection ends. pause is how long
// the server wants to be left alone, 0 if it said nothing.
func (c *Client) connectOnce() (welcomed bool, pause time.Duration, err error) {
	token, err := c.nextToken()
	if err != nil {
		return false, 0, fmt.Errorf("client: token: %w", err)
	}
	conn, err := Dial(c.stopping, c.o.URL, DialOptions{
		Token: token, DeviceID: c.device(), Device: c.o.Device, Subprotocol: c.o.Subprotocol, TLS: c.o.TLS,
	})
	if err != nil {
		if e, ok := errors.AsType[*HandshakeError](err); ok {
			pause = e.RetryAfter
		}
		return false, pause, err
	}
	s := c.newSession(conn, token)
	if err := c.attach(s); err != nil {
		_ = conn.Close()
		return true, 0, err
	}
	c.talking.Go(s.write)
	err = c.read(s)
	c.detach(s)
	s.renewal.Wait()               // one asks for a token at a time
	if errors.Is(err, ErrClosed) { // by us
		err = s.leaving
	}
	return true, s.backIn, err
}

// attach makes a session the client's. c.mu must not be held.
func (c *Client) attach(s *session) error {
	w := s.welcome
	if err := c.committed(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	switch c.meta.User {
	case w.User:
	case "":
		c.meta.User = w.User
	default:
		return fmt.Errorf("%w: it is of %q, and the token of %q", ErrOtherUser, c.meta.User, w.User)
	}
	c.meta.BodyMax = int(w.BodyMax)
	if c.meta.Stream == 0 {
		c.useStream(parley.StreamID(w.Stream))
	}
	switch incarnation := parley.Incarnation(w.Incarnation); c.meta.Incarnation {
	case incarnation:
	case 0:
		c.meta.Incarnation = incarnation
	default:
		c.restore(s, incarnation)
	}
	c.putMeta()
	c.session = s
	close(c.online)
	c.connectionIs(Connection{Online: true})
	c.startSync(s)
	c.pump()
	return nil
}

// detach takes the session away, and tells everybody who waits for an answer.
func (c *Client) detach(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.end()
	c.session = nil
	answers := s.answers
	s.answers = nil
	for _, answer := range answers {
		answer(nil)
	}
	c.lost()
	for _, v := range c.conversations {
		v.sentMarks, v.pulling, v.stateDue = parley.Watermarks{}, false, false
	}
	c.pulls = nil
	c.nobodyTypes()
}

// disconnected tells why there is no connection.
func (c *Client) disconnected(err error, fatal bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fatal {
		c.giveUp(err)
		return
	}
	c.log.Debug("disconnected", "err", err)
	if errors.Is(err, errRenewed) {
		c.connection = Connection{Err: err} // not worth telling, if it is not for long
		return
	}
	c.connectionIs(Connection{Err: err})
}

func (c *Client) connectionIs(now Connection) {
	c.connection = now
	c.notes.add(note{kind: noteConnection})
}

// read takes what the server sends until the connection ends. What came with
// one read is durable before the next: the server gathers meanwhile.
func (c *Client) read(s *session) error {
	for {
		messages, err := s.conn.Read()
		if err != nil {
			return err
		}
		c.mu.Lock()
		generation := c.pending.generation
		for _, m := range messages {
			c.handle(s, m)
		}
		p := c.pending
		busy := p.generation != generation || !p.changes.empty() || len(p.conversations)+len(p.drafts)+len(p.lanes) > 0 || p.meta || len(p.notes) > 0
		c.mu.Unlock()
		if busy {
			if err := c.await(p); err != nil {
				return err
			}
		}
	}
}

// handle takes one message of the server. It must not keep any of it. c.mu is
// held.
func (c *Client) handle(s *session, m *wire.ServerMessage) {
	if m.ReplyTo != 0 {
		s.reply(m)
		return
	}
	switch {
	case m.Message != nil:
		s.pushes++
		c.pushedMessage(s, m.Message)
	case m.Marks != nil:
		s.pushes++
		c.pushedMarks(s, m.Marks)
	case m.State != nil:
		s.pushes++
		c.pushedState(s, m.State)
	case m.Check != nil:
		// Pushes are counted whether they reached us or not.
		if s.pushes < m.Check.Pushes {
			c.startSync(s)
		}
		s.pushes = m.Check.Pushes
	case m.GoingAway != nil:
		s.backIn = max(time.Duration(m.GoingAway.RetryAfterMs)*time.Millisecond, time.Millisecond)
		s.leave(&CloseError{Code: wire.CloseGoingAway})
		s.moveOn()
	case m.TokenExpiring != nil:
		c.tokenExpires(s, time.Duration(m.TokenExpiring.ExpiresInMs)*time.Millisecond)
	case m.Presences != nil:
		c.hintPresences(m.Presences)
	case m.Typing != nil:
		c.hintTyping(m.Typing)
	case m.Profiles != nil:
		c.hintProfiles(m.Profiles)
	case m.Error != nil:
		c.log.Warn("the server reports an error", "code", m.Error.Code, "message", m.Error.Message)
	}
}

// waitOnline waits for a session in which something can begin. Where there is
// one, it returns with c.mu held, so that it is not left before it is used.
func (c *Client) waitOnline(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, online, err := c.session, c.online, c.usable()
		if err == nil && s != nil && s.leaving == nil {
			return s, nil
		}
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-online:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.stopping.Done():
			c.mu.Lock()
			err := c.usable()
			c.mu.Unlock()
			if err == nil {
				err = ErrClosed
			}
			return nil, err
		}
	}
}
