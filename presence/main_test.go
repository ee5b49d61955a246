package presence_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/leak"
	"github.com/parleychat/parley/internal/redistest"
	"github.com/parleychat/parley/presence"
)

// One cluster serves all tests, each under a prefix of its own: starting one takes
// four seconds.
var shared struct {
	once    sync.Once
	cluster *redistest.Cluster
	err     error
}

func TestMain(m *testing.M) {
	if arguments := os.Getenv(gatewayEnv); arguments != "" {
		os.Exit(runGateway(arguments))
	}
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(leak.Check(code))
}

func startCluster(t testing.TB) *redistest.Cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = redistest.Start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// Short leases, so that tests need not wait for a minute.
const (
	testLease     = 2 * time.Second
	testHeartbeat = time.Second / 2
)

func redisOptions(t testing.TB, gateway string, changed func(parley.UserID, bool)) presence.RedisOptions {
	return presence.RedisOptions{
		Options:   presence.Options{Changed: changed, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))},
		Addresses: startCluster(t).Addresses(),
		Gateway:   gateway,
		Prefix:    t.Name() + ":",
		Lease:     testLease,
		Heartbeat: testHeartbeat,
		Timeout:   500 * time.Millisecond, // the machine may be busy
	}
}

func openRedis(t testing.TB, options presence.RedisOptions) *presence.Redis {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := presence.OpenRedis(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, r)
	return r
}

func closeAtEnd(t testing.TB, r presence.Registry) {
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b[:len(b)-1])
	return len(b), nil
}

func user(i int) (u parley.UserID) {
	binary.BigEndian.PutUint64(u[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(u[8:], uint64(i))
	return u
}

func users(from, n int) []parley.UserID {
	list := make([]parley.UserID, n)
	for i := range list {
		list[i] = user(from + i)
	}
	return list
}

func device(i int) (d parley.DeviceID) {
	binary.BigEndian.PutUint64(d[8:], uint64(i))
	return d
}

// eventually waits until a condition holds; what is what it was waiting for.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

// soon is how long a change may take from one process to another.
const soon = 2 * time.Second

func wantOnline(t testing.TB, r presence.Registry, u parley.UserID, want bool, within time.Duration) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("%v online = %v", u, want), func() bool {
		into := make([]bool, 1)
		err := r.Online(t.Context(), []parley.UserID{u}, into)
		return err == nil && into[0] == want
	})
}

// countOnline asks in questions of the longest allowed size.
func countOnline(t testing.TB, r presence.Registry, list []parley.UserID) (n int, err error) {
	t.Helper()
	for from := 0; from < len(list); from += presence.UsersMax {
		part := list[from:min(from+presence.UsersMax, len(list))]
		into := make([]bool, len(part))
		if err := r.Online(t.Context(), part, into); err != nil {
			return n, err
		}
		for _, online := range into {
			if online {
				n++
			}
		}
	}
	return n, nil
}

// heard is what Changed was told last of each user, and how often.
type heard struct {
	mu    sync.Mutex
	last  map[parley.UserID]bool
	calls atomic.Int64
}

func (h *heard) changed(u parley.UserID, online bool) {
	h.calls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = make(map[parley.UserID]bool)
	}
	h.last[u] = online
}

func (h *heard) of(u parley.UserID) (online, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	online, told = h.last[u]
	return online, told
}

func (h *heard) want(t testing.TB, u parley.UserID, want bool, within time.Duration) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("told that %v is online = %v", u, want), func() bool {
		online, told := h.of(u)
		return told && online == want
	})
}
