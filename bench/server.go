package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ServerOptions say which server to start.
type ServerOptions struct {
	Executable string   // of parley
	Data       string   // folder; empty means a temporary one, removed by Stop
	Arguments  []string // of serve, besides those that Chat needs
}

// Server is a Parley server in a process of its own, a child of this one.
type Server struct {
	command   *exec.Cmd
	address   string // host:port
	admin     string // host:port
	data      string
	temporary bool
	errors    *tail
	exited    chan struct{} // closed when the process is gone
}

// startMax is how long a server may take until it listens: it may have a log to
// replay.
const startMax = 2 * time.Minute

// StartServer starts `parley serve --dev` on free ports of 127.0.0.1 and waits
// until it listens.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	s := &Server{data: o.Data, errors: &tail{}, exited: make(chan struct{})}
	var err error
	if s.data == "" {
		if s.data, err = os.MkdirTemp("", "parley-bench-"); err != nil {
			return nil, err
		}
		s.temporary = true
	}
	if s.address, s.admin, err = freePorts(); err != nil {
		return nil, errors.Join(err, s.removeData())
	}
	arguments := append([]string{"serve", "--dev", "--listen", s.address, "--admin-listen", s.admin, "--data", s.data}, o.Arguments...)
	s.command = exec.Command(o.Executable, arguments...)
	s.command.Stderr = s.errors
	output, err := s.command.StdoutPipe()
	if err == nil {
		err = s.command.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), s.removeData())
	}
	listening := make(chan struct{})
	go s.follow(output, listening)
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	select {
	case <-listening:
		return s, nil
	case <-s.exited:
		return nil, errors.Join(fmt.Errorf("the server ended at its start: %s", s.errors), s.removeData())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("the server does not listen: %w: %s", ctx.Err(), s.errors), s.Stop())
	}
}

// freePorts finds two addresses that are free now.
func freePorts() (a, b string, err error) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}

// follow reads the server's output to its end, and waits for the process.
func (s *Server) follow(output io.Reader, listening chan<- struct{}) {
	defer close(s.exited)
	lines := bufio.NewScanner(output)
	said := false
	for lines.Scan() {
		if !said && strings.HasPrefix(lines.Text(), "listening on ") {
			said = true
			close(listening)
		}
	}
	_, _ = io.Copy(io.Discard, output)
	_ = s.command.Wait()
}

// URL is where clients connect.
func (s *Server) URL() string { return "ws://" + s.address + "/ws" }

// Admin is where metrics and profiles are.
func (s *Server) Admin() string { return "http://" + s.admin }

// Data is the server's folder.
func (s *Server) Data() string { return s.data }

// stopMax is how long a server may take to stop cleanly.
const stopMax = 30 * time.Second

// Stop ends the server in good order. It returns an error where that took too
// long, or where the server did not end with status 0.
func (s *Server) Stop() error {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopMax):
		_ = s.command.Process.Kill()
		<-s.exited
		return errors.Join(fmt.Errorf("the server did not stop in %v: %s", stopMax, s.errors), s.removeData())
	}
	if !s.command.ProcessState.Success() {
		return errors.Join(fmt.Errorf("the server ended with %v: %s", s.command.ProcessState, s.errors), s.removeData())
	}
	return s.removeData()
}

func (s *Server) removeData() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.data)
}

// pid is 0 where there is no server of ours.
func (s *Server) pid() int {
	if s == nil {
		return 0
	}
	return s.command.Process.Pid
}

// flushesMetric is the server's count of heads written as segments.
const flushesMetric = "parley_engine_flushes_total"

// flushes asks the server's metrics; -1 where they do not say.
func (s *Server) flushes(ctx context.Context) float64 {
	if s == nil {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	b, err := get(ctx, http.MethodGet, s.Admin()+"/metrics", nil)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == flushesMetric {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// answerMax bounds what is read of an answer over HTTP.
const answerMax = 4 << 20

// asker keeps no connections: a server that stops waits for those that were
// opened and not used.
var asker = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// get asks over HTTP.
func get(ctx context.Context, method, where string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, where, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := asker.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", where, response.Status, bytes.TrimSpace(b))
	}
	return b, nil
}

// devTokens asks a development server for tokens.
func devTokens(of string) (func(context.Context, string) (string, error), error) {
	u, err := url.Parse(of)
	if err != nil {
		return nil, err
	}
	u.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	if u.Scheme == "" {
		return nil, fmt.Errorf("%s: not a ws:// or wss:// address", of)
	}
	u.Path, u.RawQuery = "/v1/dev/token", ""
	return func(ctx context.Context, user string) (string, error) {
		question, err := json.Marshal(map[string]string{"user": user})
		if err != nil {
			return "", err
		}
		b, err := get(ctx, http.MethodPost, u.String(), question)
		if err != nil {
			return "", err
		}
		var answer struct{ Token string }
		if err := json.Unmarshal(b, &answer); err != nil {
			return "", fmt.Errorf("%s: %w", u, err)
		}
		return answer.Token, nil
	}, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// tailMax bounds what is kept of a server's errors.
const tailMax = 4 << 10

// Write keeps the end of b.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > tailMax {
		t.b = append(t.b[:0], t.b[len(t.b)-tailMax:]...)
	}
	return len(b), nil
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
