// Package webtest drives the page in a real Chromium against a real server. It
// is a module of its own, so that the driver is no dependency of the product.
package webtest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// late is when a step is given up.
const late = 40 * time.Second

// server is `parley serve --dev` in a process of its own.
type server struct {
	t       *testing.T
	binary  string
	data    string
	address string
	command *exec.Cmd
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, binary: filepath.Join(t.TempDir(), "parley"), data: filepath.Join(t.TempDir(), "data")}
	build := exec.Command("go", "build", "-o", s.binary, "./cmd/parley")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	_ = l.Close()
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.command = exec.Command(s.binary, "serve", "--dev", "--listen", s.address, "--data", s.data)
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "listening on ") {
		s.t.Fatalf("the server says %q", lines.Text())
	}
}

// kill ends it as a power cut would, as far as a process can tell.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// tab is one user's page.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openBrowser starts Chromium without what it would fetch from the world.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(late),
	)
	if path, err := exec.LookPath("chromium"); err == nil {
		options = append(options, chromedp.ExecPath(path))
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Run(browser); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return browser
}

// logIn opens a browser of its own for a user: a page that is behind another is
// hidden, and reads nothing.
func logIn(t *testing.T, s *server, user string, width, height int64) *tab {
	t.Helper()
	ctx := openBrowser(t)
	p := &tab{t: t, ctx: ctx}
	p.run("log in",
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate("http://"+s.address+"/"),
		chromedp.SendKeys("#login-user", user+"\r", chromedp.ByQuery),
	)
	p.until("logged in", `document.querySelector("#status").textContent === "online"`)
	return p
}

func (p *tab) run(what string, actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, late)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// until waits for a condition of the page.
func (p *tab) until(what, condition string) {
	p.t.Helper()
	for deadline := time.Now().Add(late); ; time.Sleep(50 * time.Millisecond) {
		var ok bool
		p.run(what, chromedp.Evaluate("Boolean("+condition+")", &ok))
		if ok {
			return
		}
		if time.Now().After(deadline) {
			var body string
			p.run(what, chromedp.Text("body", &body, chromedp.ByQuery))
			p.t.Fatalf("%s: %s never came; the page shows:\n%s", what, condition, body)
		}
	}
}

func (p *tab) write(text string) {
	p.t.Helper()
	p.run("write", chromedp.SendKeys("#composer", text+"\r", chromedp.ByQuery))
}

// shows waits for messages, in this order and no others.
func (p *tab) shows(texts ...string) {
	p.t.Helper()
	p.until("messages", fmt.Sprintf(
		`[...document.querySelectorAll("#messages li[data-seq]")].map((l) => l.firstChild.textContent).join("|") === %q`,
		strings.Join(texts, "|")))
}

// picture writes what the page looks like, where PARLEY_PICTURES names a folder.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("PARLEY_PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	p.run("picture", chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Two people talk in two tabs; ticks follow; the server is killed, one of them
// writes meanwhile, and it arrives once when the server is back.
func TestTwoTabsTalk(t *testing.T) {
	s := newServer(t)
	bob := logIn(t, s, "bob", 390, 780)
	ann := logIn(t, s, "ann", 1100, 750)

	ann.run("start", chromedp.SendKeys("#new-peer", "bob\r", chromedp.ByQuery))
	ann.until("opened", `document.querySelector("#title").textContent === "bob"`)
	ann.write("hello, bob")
	ann.shows("hello, bob")
	bob.until("unread", `document.querySelector("#conversations .unread")?.textContent === "1"`)
	bob.picture("phone-list")
	ann.until("delivered", `document.querySelector("#messages .ticks.delivered") !== null`)

	bob.run("open", chromedp.Click("#conversations button", chromedp.ByQuery))
	bob.shows("hello, bob")
	ann.until("read", `document.querySelector("#messages .ticks.read") !== null`)
	bob.until("nothing unread", `document.querySelector("#conversations .unread") === null`)
	bob.write("hello, ann")
	ann.shows("hello, bob", "hello, ann")

	s.kill()
	ann.until("offline", `document.querySelector("#status").textContent === "offline"`)
	ann.write("one")
	ann.write("two")
	ann.until("waiting", `document.querySelectorAll("#messages .waiting").length === 2`)
	ann.picture("desktop-offline")
	s.start()
	ann.until("online", `document.querySelector("#status").textContent === "online"`)
	ann.shows("hello, bob", "hello, ann", "one", "two")
	bob.shows("hello, bob", "hello, ann", "one", "two")
	ann.until("all sent", `document.querySelectorAll("#messages .waiting").length === 0`)
	ann.picture("desktop")
	bob.picture("phone")
}

// A stranger's name is said to be one, and a group of three works.
func TestGroupsAndMistakes(t *testing.T) {
	s := newServer(t)
	bob := logIn(t, s, "bob", 390, 780)
	carl := logIn(t, s, "carl", 390, 780)
	ann := logIn(t, s, "ann", 1100, 750)

	ann.run("start", chromedp.SendKeys("#new-peer", "nobody\r", chromedp.ByQuery))
	ann.until("refused", `document.querySelector("#new-error").textContent.includes("logged in")`)
	ann.run("start", chromedp.Evaluate(`document.querySelector("#new-peer").value = ""`, nil), chromedp.SendKeys("#new-peer", "bob, carl\r", chromedp.ByQuery))
	ann.until("opened", `document.querySelector("#title").textContent.includes("bob")`)
	ann.write("<b>hello</b>, all")
	for _, p := range []*tab{bob, carl} {
		p.until("listed", `document.querySelector("#conversations .unread")?.textContent === "1"`)
		p.run("open", chromedp.Click("#conversations button", chromedp.ByQuery))
		p.until("shown as text", `document.querySelector("#messages").textContent.includes("<b>hello</b>, all")`)
	}
	carl.picture("phone-group")
}

// What was read while the server was away is told when it is back; a text that is
// too long is said to be, and does not end the connection.
func TestReadOfflineAndTooLong(t *testing.T) {
	s := newServer(t)
	bob := logIn(t, s, "bob", 390, 780)
	ann := logIn(t, s, "ann", 1100, 750)
	ann.run("start", chromedp.SendKeys("#new-peer", "bob\r", chromedp.ByQuery))
	ann.until("opened", `document.querySelector("#title").textContent === "bob"`)
	ann.write("read me")
	ann.until("delivered", `document.querySelector("#messages .ticks.delivered") !== null`)

	s.kill()
	bob.until("offline", `document.querySelector("#status").textContent === "offline"`)
	bob.run("open", chromedp.Click("#conversations button", chromedp.ByQuery))
	bob.shows("read me")
	bob.until("nothing unread", `document.querySelector("#conversations .unread") === null`)
	s.start()
	ann.until("read", `document.querySelector("#messages .ticks.read") !== null`)

	ann.run("paste", chromedp.Evaluate(`document.querySelector("#composer").value = "x".repeat(70000); document.querySelector("#composer-form").requestSubmit()`, nil))
	ann.until("refused", `document.querySelector("#messages .failed .why")?.textContent.includes("longer than")`)
	ann.write("short")
	bob.shows("read me", "short")
}
