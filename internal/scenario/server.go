package scenario

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startMax is how long a server may take until it is ready, and to stop.
const startMax = time.Minute

// server is one run of `parley serve`.
type server struct {
	cmd    *exec.Cmd
	listen string // host:port
	log    *logged
	ended  chan struct{} // closed when the process is gone
}

// startServer runs a server on a folder and waits until it is ready.
func startServer(bin, dir string, flags []string) (*server, error) {
	args := append([]string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0",
		"--head-size", "1MiB", "--partitions", "16", "--disk-reserve", "16MiB", "--drain-timeout", "2s"}, flags...)
	s := &server{cmd: exec.Command(bin, args...), log: &logged{}, ended: make(chan struct{})}
	s.cmd.Stderr = s.log
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
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("the server ended before it was ready:\n%s", s.log)
	case <-time.After(startMax):
		s.kill()
		return nil, fmt.Errorf("the server was not ready after %v:\n%s", startMax, s.log)
	}
}

func (s *server) wait(out io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "listening on http://"); ok {
			ready <- at
		}
	}
	_ = s.cmd.Wait() // how it ended is seen in its log
	close(s.ended)
}

// kill ends the process as a crash does, and waits until it is gone.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// stop ends the server in good order.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(startMax):
		s.kill()
		return fmt.Errorf("the server did not end:\n%s", s.log)
	}
	if status := s.cmd.ProcessState.ExitCode(); status != 0 {
		return fmt.Errorf("the server ended with status %d:\n%s", status, s.log)
	}
	return nil
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
