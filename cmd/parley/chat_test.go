package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley/node"
)

// chatServer is a real server, which a test can stop and start on its port.
type chatServer struct {
	t      *testing.T
	config node.Config
	node   *node.Node
	ended  chan error
	stop   context.CancelFunc
}

func newChatServer(t *testing.T) *chatServer {
	s := &chatServer{t: t, config: node.Config{
		Dev: true, Listen: "127.0.0.1:0", Data: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
	}}
	e := &s.config.Chat.Engine
	e.HeadSize, e.ReserveBytes, e.Partitions = 1<<20, 1<<20, 4
	s.start()
	t.Cleanup(func() { s.end() })
	return s
}

func (s *chatServer) start() {
	s.t.Helper()
	n, err := node.Open(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.config.Listen = strings.TrimPrefix(n.URL(), "http://")
	ctx, stop := context.WithCancel(context.Background())
	s.node, s.stop, s.ended = n, stop, make(chan error, 1)
	go func() { s.ended <- n.Run(ctx) }()
}

func (s *chatServer) end() {
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	s.ended <- nil // for a second end
}

func (s *chatServer) url() string { return "ws://" + s.config.Listen + "/ws" }

// talker is one run of `parley chat` whose input the test types.
type talker struct {
	t    *testing.T
	in   *io.PipeWriter
	done chan error

	mu    sync.Mutex // guards below
	shown strings.Builder
}

func (k *talker) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown.Write(b)
}

func (k *talker) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown.String()
}

func startTalker(t *testing.T, f chatFlags) *talker {
	r, w := io.Pipe()
	k := &talker{t: t, in: w, done: make(chan error, 1)}
	if f.wait == 0 {
		f.wait = 20 * time.Second
	}
	go func() { k.done <- chatRun(context.Background(), f, r, k) }()
	return k
}

func (k *talker) types(line string) {
	k.t.Helper()
	if _, err := io.WriteString(k.in, line+"\n"); err != nil {
		k.t.Fatal(err)
	}
}

// sees waits for one of some lines.
func (k *talker) sees(lines ...string) {
	k.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		for _, line := range lines {
			if strings.Contains("\n"+k.text(), "\n"+line+"\n") {
				return
			}
		}
	}
	k.t.Fatalf("%q was not shown; this was:\n%s", lines, k.text())
}

func (k *talker) leaves() {
	k.t.Helper()
	_ = k.in.Close()
	if err := <-k.done; err != nil {
		k.t.Error(err)
	}
}

func TestChat(t *testing.T) {
	s := newChatServer(t)
	ann := startTalker(t, chatFlags{as: "ann", url: s.url(), store: t.TempDir()})
	ann.sees("* online")
	bob := startTalker(t, chatFlags{as: "bob", url: s.url(), data: s.config.Data})
	bob.sees("* online")

	ann.types("nobody hears this")
	ann.sees("* error: no conversation is open; /to USER opens one")
	ann.types("/to bob")
	ann.sees("[bob] open")
	ann.types("hello")
	fast := "[bob] 1 ann: hello ✓✓ delivered" // where bob was faster than the screen
	ann.sees("[bob] 1 ann: hello ✓", fast)
	bob.sees("[ann] 1 ann: hello")
	bob.sees("[ann] 1 unread")
	ann.sees("[bob] 1 ✓✓ delivered", fast)
	bob.types("/to ann")
	ann.sees("[bob] 1 ✓✓ read")
	bob.types("hello yourself")
	ann.sees("[bob] 2 bob: hello yourself")
	bob.sees("[ann] 2 ✓✓ read")

	ann.types("/group garden bob")
	ann.sees("[garden] open")
	bob.sees("[garden] 1 ann: made garden")
	ann.types("roses")
	bob.sees("[garden] 2 ann: roses")
	ann.sees("[garden] 2 ✓✓ delivered")
	bob.types("/list")
	bob.sees("[garden] 1 unread")
	bob.types("/to garden")
	bob.types("//not a command")
	ann.sees("[garden] 3 bob: /not a command")
	bob.types("/leave")
	ann.sees("[garden] 4 bob: left")
	bob.types("/nonsense")
	bob.sees("* error: no command /nonsense; there are /to /group /add /leave /rename /who /list /history /retry /devices /revoke /quit")
	bob.types("/quit")
	if err := <-bob.done; err != nil {
		t.Error(err)
	}
	ann.leaves()
}

// The server goes and comes back; what was typed meanwhile arrives, in order,
// also when the program that it was typed into has ended in between.
func TestChatOutlivesTheServer(t *testing.T) {
	s := newChatServer(t)
	store := t.TempDir()
	bob := startTalker(t, chatFlags{as: "bob", url: s.url()})
	bob.sees("* online")
	ann := startTalker(t, chatFlags{as: "ann", url: s.url(), data: s.config.Data, store: store, wait: time.Millisecond})
	ann.sees("* online")
	ann.types("/to bob")
	ann.types("one")
	bob.sees("[ann] 1 ann: one")
	ann.sees("[bob] 1 ✓✓ delivered")
	s.end()
	ann.types("two")
	ann.types("three")
	_ = ann.in.Close()
	if err := <-ann.done; err == nil || err.Error() != "2 messages are not sent" {
		t.Errorf("ended with %v", err)
	}
	s.start()
	ann = startTalker(t, chatFlags{as: "ann", url: s.url(), data: s.config.Data, store: store, to: "bob"})
	bob.sees("[ann] 2 ann: two")
	bob.sees("[ann] 3 ann: three")
	ann.types("/history")
	ann.sees("[bob] 1 ann: one ✓✓ delivered")
	ann.leaves()
	bob.leaves()
}

func TestChatUsage(t *testing.T) {
	if code := run([]string{"chat"}); code != 2 {
		t.Errorf("without --as: exit status %d", code)
	}
	f := chatFlags{as: "ann", url: "ws://127.0.0.1:1/ws"}
	if _, err := f.token(t.Context()); err == nil {
		t.Error("a token came from nowhere")
	}
	if err := chatRun(t.Context(), chatFlags{as: "ann", url: "nonsense"}, strings.NewReader(""), io.Discard); err == nil {
		t.Error("nonsense was dialled")
	}
}
