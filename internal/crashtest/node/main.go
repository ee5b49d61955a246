// Command node is a chat store that talks in lines, for the crash rigs.
//
//	node DIR HEAD-SIZE USERS direct|buffered [DIE-AFTER]
//
// With DIE-AFTER, a duration, it kills itself with SIGKILL at the first moment
// after it at which a closed head waits for its flush: a kill from outside would
// seldom hit that, and never on a busy machine.
//
// Rooms are the direct conversations of users i and i+1. It prints "ready", and
// then answers
//
//	s USER ROOM STREAM NUMBER BODY   a USER ROOM NUMBER SEQ | r USER ROOM NUMBER CODE
//	m USER ROOM READ                 k USER ROOM READ | r USER ROOM 0 CODE
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/engine"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

type node struct {
	chat  *chat.Service
	users []parley.Identity
	rooms []parley.ConversationID
	out   chan string
	later chan func()
}

const (
	batchMax = 64
	queueMax = 1 << 16
)

func run(args []string) error {
	if len(args) < 4 || len(args) > 5 {
		return fmt.Errorf("want DIR HEAD-SIZE USERS direct|buffered [DIE-AFTER]")
	}
	head, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var dieAfter time.Duration
	if len(args) == 5 {
		if dieAfter, err = time.ParseDuration(args[4]); err != nil {
			return err
		}
	}
	failed := make(chan error, 1)
	n := &node{out: make(chan string, queueMax), later: make(chan func(), queueMax)}
	n.chat, err = chat.Open(vfs.Default, args[0], chat.Options{Engine: engine.Options{
		HeadSize: head, Partitions: 16, Buffered: args[3] == "buffered", Failed: func(err error) { failed <- err },
	}})
	if err != nil {
		return err
	}
	go n.print()
	go n.look()
	if err := n.setUp(count); err != nil {
		return err
	}
	n.out <- "ready"
	if dieAfter > 0 {
		go n.die(dieAfter)
	}
	lines := make(chan error, 1)
	go func() { lines <- n.read() }()
	select {
	case err := <-failed:
		return err
	case err := <-lines:
		if err != nil {
			return err
		}
	}
	return n.chat.Close()
}

// die ends the process as a power cut would, while a closed head waits.
func (n *node) die(after time.Duration) {
	time.Sleep(after)
	for n.chat.Engine().Stats().HeadsWaiting == 0 {
		time.Sleep(50 * time.Microsecond)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// print writes the answers, as many at once as have gathered.
func (n *node) print() {
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	for line := range n.out {
		_, _ = w.WriteString(line + "\n")
		if len(n.out) == 0 && w.Flush() != nil {
			os.Exit(1) // nobody hears us any longer
		}
	}
}

// look does what has to read, off the applier.
func (n *node) look() {
	for f := range n.later {
		f()
	}
}

func (n *node) setUp(count int) error {
	ctx := context.Background()
	for i := range count {
		l, err := n.chat.Login(ctx, parley.DefaultTenant, fmt.Sprintf("user-%d", i))
		if err != nil {
			return err
		}
		n.users = append(n.users, l.Identity)
	}
	for i := range count - 1 {
		id, err := n.chat.CreateDirect(ctx, n.users[i], n.users[i+1].User)
		if err != nil {
			return err
		}
		n.rooms = append(n.rooms, id)
	}
	return nil
}

// read takes lines, in batches of what has arrived.
func (n *node) read() error {
	in := bufio.NewReaderSize(os.Stdin, 256<<10)
	var lines []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil // the other side is gone
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if in.Buffered() > 0 && len(lines) < batchMax {
			continue
		}
		if err := n.batch(lines); err != nil {
			return err
		}
		lines = lines[:0]
	}
}

// asked is one line of a batch.
type asked struct {
	user, room int
	send       bool
	draft      parley.Draft
	read       parley.Seq
}

func (n *node) batch(lines []string) error {
	var all []asked
	b := n.chat.NewBatch(func(b *chat.Batch) { n.done(b, all) })
	for _, line := range lines {
		a, err := n.parse(line)
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		if a.send {
			_, err = b.Send(n.users[a.user], &a.draft)
		} else {
			_, err = b.Acknowledge(n.users[a.user], n.acknowledgement(&a))
		}
		switch {
		case errors.Is(err, chat.ErrFacts):
			n.later <- func() { n.answer(&a, n.chat.Acknowledge(context.Background(), n.users[a.user], n.acknowledgement(&a))) }
		case err != nil:
			n.answer(&a, err)
		default:
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := b.Append(); err != nil {
		for i := range all {
			n.answer(&all[i], err)
		}
	}
	return nil
}

func (n *node) parse(line string) (a asked, err error) {
	f := strings.SplitN(line, " ", 6)
	if a.user, a.room, err = n.place(f); err != nil {
		return a, err
	}
	switch {
	case f[0] == "m" && len(f) == 4:
		to, err := strconv.ParseUint(f[3], 10, 64)
		a.read = parley.Seq(to)
		return a, err
	case f[0] == "s" && len(f) == 6:
		stream, _ := strconv.ParseUint(f[3], 10, 64)
		number, _ := strconv.ParseUint(f[4], 10, 32)
		a.send, a.draft = true, parley.Draft{
			Conversation: n.rooms[a.room], Stream: parley.StreamID(stream), Number: parley.Number(number),
			Kind: parley.KindText, Body: []byte(f[5]),
		}
		return a, nil
	}
	return a, fmt.Errorf("unknown")
}

func (n *node) acknowledgement(a *asked) chat.Acknowledgement {
	return chat.Acknowledgement{Conversation: n.rooms[a.room], Watermarks: parley.Watermarks{Read: a.read}}
}

func (n *node) place(f []string) (user, room int, err error) {
	if len(f) < 4 {
		return 0, 0, fmt.Errorf("%d fields", len(f))
	}
	if user, err = strconv.Atoi(f[1]); err != nil || user < 0 || user >= len(n.users) {
		return 0, 0, fmt.Errorf("no user %s", f[1])
	}
	if room, err = strconv.Atoi(f[2]); err != nil || room < 0 || room >= len(n.rooms) {
		return 0, 0, fmt.Errorf("no room %s", f[2])
	}
	return user, room, nil
}

// answer tells a refusal, or that a mark is durable.
func (n *node) answer(a *asked, err error) {
	if err != nil {
		n.out <- fmt.Sprintf("r %d %d %d %v", a.user, a.room, a.draft.Number, err)
	} else {
		n.out <- fmt.Sprintf("k %d %d %d", a.user, a.room, a.read)
	}
}

func (n *node) sent(a *asked, seq parley.Seq) {
	n.out <- fmt.Sprintf("a %d %d %d %d", a.user, a.room, a.draft.Number, seq)
}

func (n *node) done(b *chat.Batch, all []asked) {
	if b.Err() != nil {
		return // unknown: say nothing
	}
	for i := range all {
		a, o := &all[i], b.Outcome(i)
		switch {
		case o.Code != parley.OK:
			n.answer(a, o.Code)
		case !a.send:
			n.answer(a, nil)
		case !o.Repeat:
			n.sent(a, o.Seq)
		default:
			n.later <- func() {
				receipt, err := n.chat.Repeated(context.Background(), n.users[a.user], &a.draft)
				if err != nil {
					n.answer(a, err)
					return
				}
				n.sent(a, receipt.Seq)
			}
		}
	}
}
