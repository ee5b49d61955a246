package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleychat/parley/auth"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/internal/redistest"
)

// The other end of BenchmarkHeartbeats is a process of its own: this binary, with
// these in its environment. 10,000 sockets have two ends, and a process may hold
// 20,000; and what the clients take of a core is not the server's.
const (
	crowdURL  = "PARLEY_CROWD_URL"
	crowdKey  = "PARLEY_CROWD_KEY" // file
	crowdSize = "PARLEY_CROWD_SIZE"
)

// crowd connects users, each with a device, says so on standard output and
// answers pings until standard input ends.
func crowd() int {
	count, err := strconv.Atoi(os.Getenv(crowdSize))
	if err != nil {
		return 2
	}
	keys, err := auth.LoadKeys(os.Getenv(crowdKey))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	users := make(chan int)
	var connected sync.WaitGroup
	for range 64 {
		connected.Go(func() {
			for i := range users {
				if err := join(keys[0], i); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	for i := range count {
		users <- i
	}
	close(users)
	connected.Wait()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func join(key *auth.Key, i int) error {
	token, err := auth.Sign(key, auth.Claims{Subject: fmt.Sprint("user-", i), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		return err
	}
	device := make([]byte, 16)
	binary.BigEndian.PutUint64(device, uint64(i)+1)
	url := fmt.Sprintf("%s?device=%x&name=phone&platform=bench", os.Getenv(crowdURL), device)
	c, err := client.Dial(context.Background(), url, client.DialOptions{Token: token})
	if err != nil {
		return err
	}
	go func() {
		for {
			if _, err := c.Read(); err != nil {
				fmt.Fprintln(os.Stderr, "a session ended:", err)
				return
			}
		}
	}()
	return nil
}

// BenchmarkHeartbeats is what a whole server takes of a core while 10,000 users
// are connected by real sockets and do nothing: pings, pongs, checks, the leases
// of presence. Run it with -benchtime 1x: one round is two heartbeats of 30 s.
func BenchmarkHeartbeats(b *testing.B) {
	b.Run("nobody", func(b *testing.B) { benchmarkHeartbeats(b, 0, nil) })
	b.Run("memory", func(b *testing.B) { benchmarkHeartbeats(b, 10_000, nil) })
	b.Run("redis", func(b *testing.B) {
		redis, err := redistest.Start()
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = redis.Close() }()
		benchmarkHeartbeats(b, 10_000, redis.Addresses())
	})
}

func benchmarkHeartbeats(b *testing.B, count int, redis []string) {
	raise(b)
	dir := b.TempDir()
	c := Config{Data: dir, Listen: "127.0.0.1:0", Dev: true, Logger: quiet()}
	c.Presence.Addresses = redis
	n, err := Open(c)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			b.Error(err)
		}
	}()
	clients := exec.Command(os.Args[0])
	clients.Env = append(os.Environ(), crowdURL+"=ws"+strings.TrimPrefix(n.URL(), "http")+"/ws",
		crowdKey+"="+filepath.Join(dir, auth.DevelopmentKeyFile), crowdSize+"="+strconv.Itoa(count))
	clients.Stderr = os.Stderr
	hold, err := clients.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	said, err := clients.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = hold.Close(); _ = clients.Wait() }()
	if _, err := io.ReadFull(said, make([]byte, len("ready\n"))); err != nil {
		b.Fatal("the clients did not connect: ", err)
	}
	const heartbeat = 30 * time.Second
	time.Sleep(heartbeat + time.Second) // what connecting left behind
	before, used, began := n.Stats().Gateway, cpu(), time.Now()
	for b.Loop() {
		time.Sleep(2 * heartbeat)
	}
	took, spent, after := time.Since(began), cpu()-used, n.Stats().Gateway
	if after.Sessions != count || after.Ended != before.Ended {
		b.Errorf("%d sessions, %d ended meanwhile", after.Sessions, after.Ended-before.Ended)
	}
	b.ReportMetric(100*spent.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(float64(after.Sessions), "sessions")
	if beats := float64(after.Writes - before.Writes); count > 0 {
		b.ReportMetric(beats/took.Seconds(), "beats/s")
		b.ReportMetric(spent.Seconds()*1e6/beats, "cpu-µs/beat")
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raise takes as many descriptors as the process may have.
func raise(b *testing.B) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
}
