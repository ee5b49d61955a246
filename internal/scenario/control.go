package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Control serves stages over HTTP, so that a runner in any language can have as
// many as it wants:
//
//	POST   /stages                 {"flags":["--heartbeat","1s"]}  → {"id":"1"}
//	POST   /stages/1/actors/NAME                                   → {"url":"ws://127.0.0.1:4711/ws","connections":0}
//	POST   /stages/1/tokens        {"user":"ann","ms":60000}       → {"token":"…"}
//	POST   /stages/1/steps         {"stage":"cut","actor":"ann"}   → {}
//	GET    /stages/1/log                                           → what the server said
//	DELETE /stages/1                                               → {}
//
// What goes wrong is answered 400 with a line that says what.
type Control struct {
	bin string
	mux *http.ServeMux

	mu     sync.Mutex // guards below
	next   int
	stages map[string]*Stage
}

// NewControl makes stages of the server that the binary bin is.
func NewControl(bin string) *Control {
	c := &Control{bin: bin, mux: http.NewServeMux(), stages: make(map[string]*Stage)}
	c.handle("POST /stages", c.open)
	c.handle("POST /stages/{id}/actors/{name}", c.actor)
	c.handle("POST /stages/{id}/tokens", c.token)
	c.handle("POST /stages/{id}/steps", c.step)
	c.handle("GET /stages/{id}/log", c.log)
	c.handle("DELETE /stages/{id}", c.end)
	return c
}

// ServeHTTP implements http.Handler.
func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// Close ends all stages.
func (c *Control) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for id, s := range c.stages {
		errs = append(errs, s.close())
		delete(c.stages, id)
	}
	return errors.Join(errs...)
}

// requestMax bounds what a runner may say at once.
const requestMax = 1 << 20

func (c *Control) handle(pattern string, answer func(*http.Request) (any, error)) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, requestMax)
		v, err := answer(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the runner is gone
	})
}

func (c *Control) stage(r *http.Request) (*Stage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stages[r.PathValue("id")]
	if s == nil {
		return nil, fmt.Errorf("no stage %q", r.PathValue("id"))
	}
	return s, nil
}

// What the requests and the answers hold.
type (
	stageFlags struct {
		Flags []string `json:"flags,omitempty"`
	}
	stageID struct {
		ID string `json:"id"`
	}
	network struct {
		URL         string `json:"url"`
		Connections int    `json:"connections"` // made so far
	}
	tokenFor struct {
		User string `json:"user"`
		Ms   int64  `json:"ms"`
	}
	tokenText struct {
		Token string `json:"token"`
	}
	nothing struct{}
)

func (c *Control) open(r *http.Request) (any, error) {
	var q stageFlags
	if err := decodeStrict(r.Body, &q); err != nil {
		return nil, err
	}
	s, err := newStage(c.bin, q.Flags)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	id := strconv.Itoa(c.next)
	c.stages[id] = s
	return stageID{id}, nil
}

func (c *Control) actor(r *http.Request) (any, error) {
	s, err := c.stage(r)
	if err != nil {
		return nil, err
	}
	url, connections, err := s.actor(r.PathValue("name"))
	return network{url, connections}, err
}

func (c *Control) token(r *http.Request) (any, error) {
	s, err := c.stage(r)
	if err != nil {
		return nil, err
	}
	var q tokenFor
	if err := decodeStrict(r.Body, &q); err != nil {
		return nil, err
	}
	token, err := s.token(q.User, time.Duration(q.Ms)*time.Millisecond)
	return tokenText{token}, err
}

func (c *Control) step(r *http.Request) (any, error) {
	s, err := c.stage(r)
	if err != nil {
		return nil, err
	}
	var q Step
	if err := decodeStrict(r.Body, &q); err != nil {
		return nil, err
	}
	return nothing{}, s.do(&q)
}

func (c *Control) log(r *http.Request) (any, error) {
	s, err := c.stage(r)
	if err != nil {
		return nil, err
	}
	return s.said(), nil
}

func (c *Control) end(r *http.Request) (any, error) {
	s, err := c.stage(r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	delete(c.stages, r.PathValue("id"))
	c.mu.Unlock()
	return nothing{}, s.close()
}

func decodeStrict(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// remote is a stage as a runner has it.
type remote struct {
	http *http.Client
	url  string // of the stage
}

// openRemote asks a control for a stage.
func openRemote(ctx context.Context, c *http.Client, control string, flags []string) (*remote, error) {
	r := &remote{http: c, url: control + "/stages"}
	var made stageID
	if err := r.ask(ctx, http.MethodPost, "", stageFlags{flags}, &made); err != nil {
		return nil, err
	}
	r.url += "/" + made.ID
	return r, nil
}

func (r *remote) ask(ctx context.Context, method, path string, q, answer any) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(string(bytes.TrimSpace(said)))
	}
	return json.Unmarshal(said, answer)
}

func (r *remote) actor(ctx context.Context, name string) (network, error) {
	var n network
	err := r.ask(ctx, http.MethodPost, "/actors/"+name, nothing{}, &n)
	return n, err
}

func (r *remote) token(ctx context.Context, user string, ms int64) (string, error) {
	var t tokenText
	err := r.ask(ctx, http.MethodPost, "/tokens", tokenFor{user, ms}, &t)
	return t.Token, err
}

func (r *remote) do(ctx context.Context, s *Step) error {
	return r.ask(ctx, http.MethodPost, "/steps", s, &nothing{})
}

func (r *remote) log(ctx context.Context) string {
	var said string
	if err := r.ask(ctx, http.MethodGet, "/log", nothing{}, &said); err != nil {
		return err.Error()
	}
	return said
}

func (r *remote) end(ctx context.Context) error {
	return r.ask(ctx, http.MethodDelete, "", nothing{}, &nothing{})
}
