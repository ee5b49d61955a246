package crashtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
)

// server is one run of `parley serve`.
type server struct {
	cmd    *exec.Cmd
	listen string // host:port
	admin  string // URL of the port for operators
	log    *logged
	ended  chan struct{} // closed when the process is gone
	status int           // exit status once it is; -1 by a signal
}

// launch says how to run a server.
type launch struct {
	bin    string
	dir    string
	listen string   // default a free port
	under  []string // another program and its arguments, which runs it
	flags  []string
	env    []string
}

// startMax is how long a server may take until it is ready.
const startMax = 2 * time.Minute

// errEnded reports a server that ended before it was ready.
var errEnded = errors.New("the server ended before it was ready")

// start runs a server and waits until it is ready. With errEnded the server is
// there too, to be asked what it said.
func (l launch) start() (*server, error) {
	if l.listen == "" {
		l.listen = "127.0.0.1:0"
	}
	line := append(append([]string{}, l.under...), l.bin, "serve", "--dev", "--data", l.dir,
		"--listen", l.listen, "--admin-listen", "127.0.0.1:0", "--head-size", "1MiB", "--partitions", "16", "--disk-reserve", "16MiB")
	s := &server{cmd: exec.Command(line[0], append(line[1:], l.flags...)...), log: &logged{}, ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), l.env...)
	s.cmd.Stderr = s.log
	// It may run under another program, so signals go to the whole group.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go s.wait(out, ready)
	select {
	case s.listen = <-ready:
	case <-s.ended:
		return s, fmt.Errorf("%w, with status %d:\n%s", errEnded, s.status, s.log)
	case <-time.After(startMax):
		s.kill()
		return nil, fmt.Errorf("the server was not ready after %v:\n%s", startMax, s.log)
	}
	if s.admin, err = s.log.await(administered); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// What a server says of its ports: on standard output when it is ready, and on
// standard error before.
var (
	listening    = regexp.MustCompile(`^listening on http://(\S+)$`)
	administered = regexp.MustCompile(`metrics and profiles"? at=(\S+)`)
)

func (s *server) wait(out io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			ready <- m[1]
		}
	}
	_ = s.cmd.Wait() // the status tells
	s.status = s.cmd.ProcessState.ExitCode()
	close(s.ended)
}

func (s *server) url() string { return "ws://" + s.listen + "/ws" }

// kill ends the process as a crash does, and waits until it is gone.
func (s *server) kill() {
	select {
	case <-s.ended:
		return // and its id may be another's
	default:
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
	<-s.ended
}

// stop ends the server in good order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.exits(0)
}

// exits waits for the server's own end.
func (s *server) exits(status int) error {
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("the server did not end:\n%s", s.log)
	}
	if s.status != status {
		return fmt.Errorf("exit status %d, want %d:\n%s", s.status, status, s.log)
	}
	return nil
}

// metric reads one figure.
func (s *server) metric(name string) (float64, error) {
	r, err := http.Get(s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	value, found := 0.0, false
	for lines.Scan() { // to the end, so that the connection is used again
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, err = fmt.Sscan(rest, &value)
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return value, errors.Join(err, lines.Err())
}

// logged is what a server wrote to standard error.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String is all of it.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits for a line, and returns what is in its parentheses.
func (l *logged) await(what *regexp.Regexp) (string, error) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if m := what.FindStringSubmatch(l.String()); m != nil {
			return m[len(m)-1], nil
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("no line like %v:\n%s", what, l)
		}
	}
}

// token is for a user of a folder.
func token(dir, user string) (string, error) {
	key, _, err := auth.LoadOrCreateDevelopmentKey(dir)
	if err != nil {
		return "", err
	}
	return auth.Sign(key, auth.Claims{Tenant: parley.DefaultTenant, Subject: user, Expires: time.Now().Add(24 * time.Hour)})
}

// mustStart starts the ordinary binary on a folder, and kills it with the test.
func mustStart(t *testing.T, l launch) *server {
	t.Helper()
	if l.bin == "" {
		var err error
		if l.bin, err = ordinary(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.start()
	if s != nil {
		t.Cleanup(s.kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refuses starts the binary on a folder that it must refuse, and returns what it
// says.
func refuses(t *testing.T, l launch) string {
	t.Helper()
	var err error
	if l.bin, err = ordinary(); err != nil {
		t.Fatal(err)
	}
	s, err := l.start()
	switch {
	case s == nil:
		t.Fatal(err)
	case err == nil:
		s.kill()
		t.Fatal("the server started")
	case s.status != 1:
		t.Fatalf("exit status %d, want 1:\n%s", s.status, s.log)
	}
	return s.log.String()
}
