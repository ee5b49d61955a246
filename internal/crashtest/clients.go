package crashtest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/verify"
)

// Clients are the users of a node: what they were told outlives it.
type Clients struct {
	Users    int
	Pipeline int // sends in flight of one client
	rng      *rand.Rand
	boxes    []*outbox
	marks    map[[2]int]parley.Seq // user, room

	// Figures of all runs.
	Acknowledged, Repeated, Refused int
}

// outbox is one user's sends to one room. Bodies follow from the number.
type outbox struct {
	user, room int
	stream     parley.StreamID
	told       []parley.Seq // of number n at n-1; 0: not told
	sent       int          // numbers given to the node in this run
	flying     int
	again      []int // numbers to be sent again first
	rewind     bool  // something was refused: let all come back, then resend
}

// NewClients makes as many users; user i talks to i+1.
func NewClients(users, pipeline int, seed uint64) *Clients {
	c := &Clients{Users: users, Pipeline: pipeline, rng: rand.New(rand.NewPCG(seed, 0)), marks: make(map[[2]int]parley.Seq)}
	born := uint64(time.Now().Unix()) << 32
	for room := range users - 1 {
		for _, user := range []int{room, room + 1} {
			c.boxes = append(c.boxes, &outbox{user: user, room: room, stream: parley.StreamID(born | uint64(c.rng.Uint32()))})
		}
	}
	return c
}

func (b *outbox) body(number int) string {
	return fmt.Sprintf("u%dr%dn%d:%s", b.user, b.room, number, strings.Repeat("x", 40+number*7%160))
}

// startMax is how long a node may take until it is ready.
const startMax = time.Minute

// Run starts the program and keeps it busy for a time, then kills it, if it has
// not killed itself. A node that ends in another way is an error, unless died is
// set.
func (c *Clients) Run(cmd *exec.Cmd, busy time.Duration, died bool) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	// The program may run under another, so the kill takes the whole group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	kill := time.AfterFunc(startMax, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	err = c.talk(bufio.NewScanner(out), in, func() { kill.Reset(busy) })
	waited := cmd.Wait()
	if err != nil {
		return err
	}
	if exit, ok := waited.(*exec.ExitError); !died && (!ok || exit.ExitCode() != -1) {
		return fmt.Errorf("the node ended by itself: %v: %s", waited, complaint.String())
	}
	return nil
}

// talk feeds the node as it answers, until it is gone.
func (c *Clients) talk(lines *bufio.Scanner, in io.Writer, ready func()) error {
	w := bufio.NewWriterSize(in, 64<<10)
	for lines.Scan() {
		line := lines.Text()
		if line == "ready" {
			ready()
			c.begin(w)
		} else if err := c.hear(line, w); err != nil {
			return err
		}
		if w.Flush() != nil {
			break // gone; what it said before is still in the pipe
		}
	}
	for lines.Scan() {
		if err := c.hear(lines.Text(), bufio.NewWriter(io.Discard)); err != nil {
			return err
		}
	}
	return nil
}

// begin has every client send again what it was not told of, and a tenth of
// what it was.
func (c *Clients) begin(w *bufio.Writer) {
	for _, b := range c.boxes {
		b.flying, b.rewind, b.again = 0, false, nil
		for i, seq := range b.told {
			if seq == 0 || c.rng.IntN(10) == 0 && i > len(b.told)-500 {
				b.again = append(b.again, i+1)
			}
		}
		c.pump(b, w)
	}
}

// pump fills a client's pipeline.
func (c *Clients) pump(b *outbox, w *bufio.Writer) {
	if b.rewind {
		if b.flying > 0 {
			return
		}
		b.rewind, b.again = false, nil
		for i, seq := range b.told {
			if seq == 0 {
				b.again = append(b.again, i+1)
			}
		}
	}
	for b.flying < c.Pipeline {
		number := 0
		if len(b.again) > 0 {
			number, b.again = b.again[0], b.again[1:]
		} else {
			b.told = append(b.told, 0)
			number = len(b.told)
		}
		b.flying++
		_, _ = fmt.Fprintf(w, "s %d %d %d %d %s\n", b.user, b.room, b.stream, number, b.body(number))
	}
}

// hear takes one answer.
func (c *Clients) hear(line string, w *bufio.Writer) error {
	f := strings.SplitN(line, " ", 5)
	if len(f) < 4 {
		return fmt.Errorf("the node said %q", line)
	}
	user, _ := strconv.Atoi(f[1])
	room, _ := strconv.Atoi(f[2])
	number, _ := strconv.Atoi(f[3])
	if f[0] == "k" {
		c.marks[[2]int{user, room}] = max(c.marks[[2]int{user, room}], parley.Seq(number))
		return nil
	}
	if number == 0 {
		return nil // a mark refused
	}
	b := c.boxes[2*room+user-room]
	b.flying--
	switch f[0] {
	case "a":
		seq, _ := strconv.ParseUint(f[4], 10, 64)
		if err := c.tell(b, number, parley.Seq(seq)); err != nil {
			return err
		}
		if c.rng.IntN(20) == 0 {
			_, _ = fmt.Fprintf(w, "m %d %d %d\n", 2*room+1-user, room, seq)
		}
	case "r":
		c.Refused++
		b.rewind = true
	default:
		return fmt.Errorf("the node said %q", line)
	}
	c.pump(b, w)
	return nil
}

func (c *Clients) tell(b *outbox, number int, seq parley.Seq) error {
	switch old := b.told[number-1]; {
	case old == 0:
		c.Acknowledged++
		b.told[number-1] = seq
	case old != seq:
		return fmt.Errorf("number %d of user %d in room %d was acknowledged as %d and then as %d", number, b.user, b.room, old, seq)
	default:
		c.Repeated++
	}
	return nil
}

// Judge holds a folder to what the clients were told.
func (c *Clients) Judge(dir string) (*verify.Report, error) {
	r, err := verify.Folder(vfs.Default, dir)
	if err != nil {
		return nil, err
	}
	if len(r.Flaws) > 0 {
		return r, fmt.Errorf("verify: %d flaws, the first: %s", len(r.Flaws), r.Flaws[0])
	}
	users := make([]parley.UserID, c.Users)
	for subject, id := range r.Model.Users {
		if i, err := strconv.Atoi(strings.TrimPrefix(subject, "0/user-")); err == nil && i < len(users) {
			users[i] = id
		}
	}
	for _, b := range c.boxes {
		id := parley.DirectConversation(parley.DefaultTenant, users[b.room], users[b.room+1])
		if err := c.judgeBox(r.Model.Conversations[id], users[b.user], b); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (c *Clients) judgeBox(conv *verify.Conversation, user parley.UserID, b *outbox) error {
	if conv == nil {
		if slicesMax(b.told) == 0 {
			return nil
		}
		return fmt.Errorf("room %d is gone", b.room)
	}
	at := make(map[parley.Number]parley.Seq)
	for i, m := range conv.Messages {
		if m.From == user && m.Stream == b.stream {
			at[m.Number] = parley.Seq(i + 1)
		}
	}
	before := parley.Seq(0)
	for i, told := range b.told {
		if told == 0 {
			continue
		}
		if got := at[parley.Number(i+1)]; got != told {
			return fmt.Errorf("number %d of user %d in room %d was acknowledged as %d and stands at %d", i+1, b.user, b.room, told, got)
		}
		if told <= before {
			return fmt.Errorf("number %d of user %d in room %d is out of order", i+1, b.user, b.room)
		}
		before = told
	}
	if mark := c.marks[[2]int{b.user, b.room}]; conv.Members[user].Read < mark {
		return fmt.Errorf("read watermark of user %d in room %d fell from %d to %d", b.user, b.room, mark, conv.Members[user].Read)
	}
	return nil
}

func slicesMax(s []parley.Seq) (m parley.Seq) {
	for _, v := range s {
		m = max(m, v)
	}
	return m
}
