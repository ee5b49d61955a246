package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/web"
)

// A client has so long for the header of a request, and so many bytes.
const (
	headerTimeout = 10 * time.Second
	headerMax     = 8 << 10
	idleTimeout   = 60 * time.Second
)

// serve opens the doors.
func (n *Node) serve() {
	n.public = n.server(n.routes())
	n.public.ConnState = n.connections.changed
	n.start(n.public, n.listener)
	if n.adminAt != nil {
		n.admin = n.server(n.adminRoutes())
		n.start(n.admin, n.adminAt)
	}
}

func (n *Node) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerMax, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(n.config.Logger.Handler(), slog.LevelDebug), // strangers' mistakes
	}
}

func (n *Node) start(s *http.Server, at net.Listener) {
	n.servers.Go(func() {
		err := s.Serve(at)
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !n.stopping.Load() {
			n.fail(fmt.Errorf("node: %w", err))
		}
	})
}

// httpTimeout is how long answers of pages have to leave when the node stops.
const httpTimeout = time.Second

// stopHTTP ends both servers. Sockets are the gateway's and not waited for.
func (n *Node) stopHTTP() error {
	ctx, cancel := context.WithTimeout(context.Background(), httpTimeout)
	defer cancel()
	err := n.public.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // somebody connected and asks nothing
		err = n.public.Close()
	}
	if n.admin != nil {
		err = errors.Join(err, n.admin.Close())
	}
	n.servers.Wait()
	return err
}

// routes are those of the public port.
func (n *Node) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", n.gateway)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", n.ready)
	if n.development != nil {
		mux.HandleFunc("POST /v1/dev/token", n.developmentToken)
		mux.HandleFunc("GET /v1/dev/users", n.developmentUsers)
	}
	mux.Handle("/", newPage(web.Files()))
	return safeHeaders(n.whenOpen(mux))
}

// whenOpen answers for a node whose store is still being replayed. Only that
// the process lives is known then.
func (n *Node) whenOpen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.opened.Load() && r.URL.Path != "/healthz" {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ready says whether sends are welcome here.
func (n *Node) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case n.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case n.service.Engine().Err() != nil:
		http.Error(w, "the store has failed", http.StatusServiceUnavailable)
	case n.service.Engine().Stats().DiskLow:
		// Reading goes on, and moving the clients elsewhere would not help them.
		_, _ = io.WriteString(w, "ok; the disk is nearly full and sends are refused\n")
	default:
		_, _ = io.WriteString(w, "ok\n")
	}
}

// A request has so long to come, and its answer to leave. So has a handshake:
// what becomes a socket is the gateway's, with deadlines of its own.
const (
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
)

// safeHeaders keep a browser from doing with our pages what they do not need,
// and deadlines keep a slow reader from holding a goroutine.
func safeHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) // a connection that is gone needs none
		_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// A development token lasts so long where nothing else is asked for; a request for
// one has so many bytes.
const (
	developmentTTL = 24 * time.Hour
	askMax         = 4 << 10
)

// developmentToken gives a token to whoever asks. The JSON type keeps other
// sites' forms out.
func (n *Node) developmentToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return
	}
	var ask struct {
		User   string          `json:"user"`
		Tenant parley.TenantID `json:"tenant"`
		TTL    *int            `json:"ttl"` // seconds
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, askMax)).Decode(&ask); err != nil {
		http.Error(w, "want {\"user\": \"name\"}", http.StatusBadRequest)
		return
	}
	ttl := developmentTTL
	if ask.TTL != nil {
		if *ask.TTL < 1 || *ask.TTL > int(developmentTTL/time.Second) {
			http.Error(w, "ttl is 1 to 86400 seconds", http.StatusBadRequest)
			return
		}
		ttl = time.Duration(*ask.TTL) * time.Second
	}
	token, err := auth.Sign(n.development, auth.Claims{Tenant: ask.Tenant, Subject: ask.User, Expires: time.Now().Add(ttl)})
	if err != nil {
		http.Error(w, "no such name: 1 to 128 bytes without control characters", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
}

// developmentUsers says as whom the page may offer to log in.
func (n *Node) developmentUsers(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]string{"users": n.config.DevUsers})
}

// adminRoutes are those of the port for operators.
func (n *Node) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.whenOpen(promhttp.HandlerFor(n.metrics(), promhttp.HandlerOpts{})))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
