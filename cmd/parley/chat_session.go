package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
)

// chatSession is what one run of `parley chat` shows. It belongs to the
// goroutine of talk.
type chatSession struct {
	c    *client.Client
	wait time.Duration
	ctx  context.Context

	print func(string) // a line
	title func(string) // what is open, for a prompt
	tty   bool         // a person looks on
	open  parley.ConversationID
	shown map[parley.ConversationID]*chatShown
}

// chatShown is what was said of a conversation last, so that it is said once.
type chatShown struct {
	newest parley.Seq   // message
	own    []parley.Seq // own messages that not all have read, as far as they were shown
	ticks  parley.Watermarks
	unread uint64
}

// chatOwnMax bounds the own messages that a tick is still shown for.
const chatOwnMax = 1000

// upTo is the newest own message up to a watermark, 0 if there is none.
func (x *chatShown) upTo(mark parley.Seq) parley.Seq {
	newest := parley.Seq(0)
	for _, seq := range x.own {
		if seq <= mark {
			newest = max(newest, seq)
		}
	}
	return newest
}

func newChatSession(c *client.Client, wait time.Duration) *chatSession {
	return &chatSession{c: c, wait: wait, title: func(string) {}, shown: make(map[parley.ConversationID]*chatShown)}
}

// chatCallMax is how long a command may wait for the server.
const chatCallMax = 15 * time.Second

// chatLinger is how long a session goes on when its input has ended and all is
// sent, to show what comes with it.
const chatLinger = 200 * time.Millisecond

// errNothingOpen reports a command for a conversation without one.
var errNothingOpen = errors.New("no conversation is open; /to USER opens one")

// errQuit ends a session as its user wants.
var errQuit = errors.New("quit")

// talk shows what happens and does what is typed, until the input ends.
func (s *chatSession) talk(ctx context.Context, to string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx = ctx
	screen, err := newChatScreen(in, out)
	if err != nil {
		return err
	}
	defer screen.close()
	s.print, s.title, s.tty = screen.print, screen.title, screen.tty != nil

	events := make(chan client.Event)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e := range s.c.Events(ctx) {
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	lines := screen.lines(ctx)
	if to != "" {
		s.say(s.to(to))
	}
	var patience <-chan time.Time // after the end of the input
	finish := func() bool {
		if s.unsent() > 0 {
			return false
		}
		patience = time.After(chatLinger)
		return true
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-patience:
			if n := s.unsent(); n > 0 {
				return fmt.Errorf("%d messages are not sent", n)
			}
			return nil
		case line, more := <-lines:
			if !more {
				lines = nil
				if !finish() {
					patience = time.After(s.wait)
				}
				continue
			}
			if err := s.do(line); errors.Is(err, errQuit) {
				return nil
			} else if err != nil {
				s.say(err)
			}
		case e := <-events:
			if err := s.show(e); err != nil {
				return err
			}
			if _, ok := e.(client.DraftChanged); ok && lines == nil {
				finish()
			}
		}
	}
}

// say tells what went wrong.
func (s *chatSession) say(err error) {
	if err != nil {
		s.print("* error: " + chatClean(strings.TrimPrefix(err.Error(), "client: ")))
	}
}

// unsent is how many drafts still wait.
func (s *chatSession) unsent() int {
	n := 0
	for id := range s.shown {
		for _, d := range s.c.Drafts(id) {
			if d.Status == client.Queued {
				n++
			}
		}
	}
	return n
}

// of is what was shown of a conversation.
func (s *chatSession) of(id parley.ConversationID) *chatShown {
	x := s.shown[id]
	if x == nil {
		x = &chatShown{}
		s.shown[id] = x
	}
	return x
}

// do does what was typed.
func (s *chatSession) do(line string) error {
	line = strings.TrimSpace(line)
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	if !strings.HasPrefix(line, "/") || strings.HasPrefix(line, "//") {
		return s.send(strings.TrimPrefix(line, "/"))
	}
	ctx, cancel := context.WithTimeout(s.ctx, chatCallMax)
	defer cancel()
	rest := words[1:]
	switch words[0] {
	case "/quit":
		return errQuit
	case "/to":
		return s.to(strings.Join(rest, " "))
	case "/group":
		if len(rest) == 0 {
			return errors.New("write /group TITLE USER …, with the users to add")
		}
		v, err := s.c.CreateGroup(ctx, rest[0], rest[1:]...)
		if err != nil {
			return err
		}
		return s.enter(v)
	case "/add":
		return s.c.AddMembers(ctx, s.open, rest...)
	case "/leave":
		return s.c.Leave(ctx, s.open)
	case "/list":
		s.list()
		return nil
	case "/history":
		return s.history(ctx, rest)
	case "/retry":
		return s.retry()
	case "/rename":
		return s.c.Rename(ctx, s.open, strings.Join(rest, " "))
	case "/who":
		return s.who(ctx)
	case "/devices":
		return s.devices(ctx)
	case "/revoke":
		return s.revoke(ctx, strings.Join(rest, ""))
	}
	return fmt.Errorf("no command %s; there are /to /group /add /leave /rename /who /list /history /retry /devices /revoke /quit", words[0])
}

func (s *chatSession) send(text string) error {
	if s.open.IsZero() {
		return errNothingOpen
	}
	s.of(s.open)
	_, err := s.c.SendText(s.open, text)
	return err
}

// to opens a conversation by its name.
func (s *chatSession) to(name string) error {
	if name == "" {
		return errors.New("/to NAME")
	}
	for _, v := range s.c.Conversations() {
		if !v.Left && (v.Kind == parley.Group && v.Title == name || v.Kind == parley.Direct && v.Peer() == name) {
			return s.enter(v)
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, chatCallMax)
	defer cancel()
	v, err := s.c.CreateDirect(ctx, name)
	if err != nil {
		return err
	}
	return s.enter(v)
}

// enter shows a conversation, and takes what is typed to it.
func (s *chatSession) enter(v client.Conversation) error {
	s.open = v.ID
	s.watchOpen()
	s.of(v.ID).unread = 0
	s.title(chatName(v))
	s.print("[" + chatName(v) + "] open")
	if v.Unread() > 0 {
		ctx, cancel := context.WithTimeout(s.ctx, chatCallMax)
		defer cancel()
		if err := s.history(ctx, []string{strconv.FormatUint(min(v.Unread(), 20), 10)}); err != nil {
			s.say(err)
		}
	}
	return s.c.MarkRead(v.ID, 0)
}

func (s *chatSession) list() {
	for _, v := range s.c.Conversations() {
		if !v.Left {
			s.print(fmt.Sprintf("[%s] %d unread", chatName(v), v.Unread()))
		}
	}
}

// history shows the last messages of what is open.
func (s *chatSession) history(ctx context.Context, words []string) error {
	n := uint64(20)
	if len(words) > 0 {
		var err error
		if n, err = strconv.ParseUint(words[0], 10, 16); err != nil || n == 0 {
			return errors.New("/history N")
		}
	}
	v, err := s.c.Conversation(s.open)
	if err != nil || v.Last == 0 {
		return err
	}
	from := v.Last - min(v.Last-1, parley.Seq(min(n, client.MessagesMax))-1)
	messages, err := s.c.History(ctx, s.open, parley.SeqRange{From: from, To: v.Last})
	if err != nil {
		return err
	}
	for i := range messages {
		s.message(v, &messages[i])
	}
	return nil
}

// retry sends the failed drafts of what is open again.
func (s *chatSession) retry() error {
	for _, d := range s.c.Drafts(s.open) {
		if d.Status == client.Failed {
			if _, err := s.c.Resend(d.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// show says what an event says.
func (s *chatSession) show(e client.Event) error {
	switch e := e.(type) {
	case client.Received:
		v, err := s.c.Conversation(e.Conversation)
		if err != nil {
			return nil // gone since
		}
		s.received(v, e)
	case client.Changed:
		s.changed(e.Conversation)
	case client.TypingChanged:
		s.typing(e)
	case client.Gone:
		s.print("[" + e.Conversation.String() + "] gone")
	case client.Restored:
		if v, err := s.c.Conversation(e.Conversation); err == nil {
			s.of(v.ID).newest = min(s.of(v.ID).newest, e.From-1)
			s.print(fmt.Sprintf("[%s] the server was restored: messages from %d on are others now", chatName(v), e.From))
		}
	case client.DraftChanged:
		if e.Draft.Status == client.Failed {
			s.print(fmt.Sprintf("[%s] not sent: %s: %s", s.name(e.Draft.Conversation), chatClean(e.Draft.Err().Error()), chatClean(string(e.Draft.Body))))
		}
	case client.Connection:
		switch {
		case e.Synced:
			s.print("* online")
		case e.Err != nil:
			s.print("* offline: " + chatClean(strings.TrimPrefix(e.Err.Error(), "client: ")))
		}
	case client.Stopped:
		return e.Err
	}
	return nil
}

func (s *chatSession) received(v client.Conversation, e client.Received) {
	if !e.Hole.Empty() {
		s.print(fmt.Sprintf("[%s] %d-%d not held", chatName(v), e.Hole.From, e.Hole.To))
	}
	x := s.of(v.ID)
	for i := range e.Messages {
		if e.Messages[i].Seq > x.newest { // else it was shown as history
			s.message(v, &e.Messages[i])
		}
	}
	if n := len(e.Messages); n > 0 && v.ID == s.open && v.Unread() > 0 {
		s.say(s.c.MarkRead(v.ID, e.Messages[n-1].Seq))
	}
}

// message shows one message.
func (s *chatSession) message(v client.Conversation, m *client.Message) {
	tick := ""
	if m.From == s.c.User() && m.Event == nil {
		tick = " ✓"
		if v.Tick(m.Seq) != client.Sent {
			tick = " ✓✓ " + v.Tick(m.Seq).String()
		}
		s.noteOwn(v, m.Seq)
	}
	x := s.of(v.ID)
	x.newest = max(x.newest, m.Seq)
	s.print(fmt.Sprintf("[%s] %d %s: %s%s", chatName(v), m.Seq, chatFrom(m), chatClean(chatText(m)), tick))
}

// noteOwn remembers an own message, and what its line says of it already.
func (s *chatSession) noteOwn(v client.Conversation, seq parley.Seq) {
	x := s.of(v.ID)
	switch v.Tick(seq) {
	case client.Read:
		x.ticks.Read = max(x.ticks.Read, seq)
	case client.Delivered:
		x.ticks.Delivered = max(x.ticks.Delivered, seq)
	}
	if v.Tick(seq) != client.Read && !slices.Contains(x.own, seq) {
		x.own = append(x.own, seq)
		if len(x.own) > chatOwnMax {
			x.own = slices.Delete(x.own, 0, 1)
		}
	}
}

// changed shows ticks that rose, and what is unread elsewhere.
func (s *chatSession) changed(v client.Conversation) {
	x := s.of(v.ID)
	if v.ID == s.open {
		s.title(chatName(v))
	}
	read, delivered := x.upTo(v.Ticks.Read), x.upTo(v.Ticks.Delivered)
	if read > x.ticks.Read {
		s.print(fmt.Sprintf("[%s] %d ✓✓ read", chatName(v), read))
	} else if delivered > x.ticks.Delivered && delivered > x.ticks.Read {
		s.print(fmt.Sprintf("[%s] %d ✓✓ delivered", chatName(v), delivered))
	}
	x.ticks.Read, x.ticks.Delivered = max(x.ticks.Read, read), max(x.ticks.Delivered, delivered)
	x.own = slices.DeleteFunc(x.own, func(seq parley.Seq) bool { return seq <= v.Ticks.Read })
	if n := v.Unread(); n != x.unread && v.ID != s.open {
		x.unread = n
		s.print(fmt.Sprintf("[%s] %d unread", chatName(v), n))
	}
}

func (s *chatSession) name(id parley.ConversationID) string {
	if v, err := s.c.Conversation(id); err == nil {
		return chatName(v)
	}
	return id.String()
}

// chatName is how a conversation is called.
func chatName(v client.Conversation) string {
	switch {
	case v.Title != "":
		return chatClean(v.Title)
	case v.Peer() != "":
		return chatClean(v.Peer())
	}
	return v.ID.String()
}

func chatFrom(m *client.Message) string {
	if m.From == "" {
		return "(erased)"
	}
	return chatClean(m.From)
}

// chatText is what a message says.
func chatText(m *client.Message) string {
	if e := m.Event; e != nil {
		users := strings.Join(e.Users, ", ")
		switch e.Type {
		case parley.EventCreated:
			return strings.TrimSpace("made " + e.Title)
		case parley.EventAdded:
			return "added " + users
		case parley.EventRemoved:
			return "removed " + users
		case parley.EventLeft:
			return "left"
		case parley.EventRole:
			return "made " + users + " " + e.Role.String()
		case parley.EventRenamed:
			return "named it " + e.Title
		}
		return "did something that this version does not know"
	}
	if m.Kind != parley.KindText {
		return fmt.Sprintf("(%v of %d bytes)", m.Kind, len(m.Body))
	}
	return m.Text()
}

// chatClean makes text of strangers harmless on a terminal: no control
// character passes, so a line is a line and nothing moves the cursor.
func chatClean(s string) string {
	if !slices.ContainsFunc([]rune(s), chatBad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if chatBad(r) {
			return '�'
		}
		return r
	}, s)
}

// chatBad reports what a terminal would obey, and what turns the direction of
// writing around.
func chatBad(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
