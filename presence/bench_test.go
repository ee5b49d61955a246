package presence_test

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/presence"
)

// BenchmarkHeartbeats measures what holding 10,000 users in a Redis Cluster takes
// of this process, with leases and heartbeats as in production: cpu_pct_of_core is
// user and system time over the time that passed. In "busy" people come and go,
// others are asked after, and users of another gateway are watched meanwhile. It
// runs for PARLEY_PRESENCE_SECONDS, by default 35, so that there is a heartbeat.
func BenchmarkHeartbeats(b *testing.B) {
	b.Run("held", func(b *testing.B) { benchmarkHeartbeats(b, func(*presence.Redis, *time.Ticker, time.Time) {}) })
	b.Run("busy", func(b *testing.B) { benchmarkHeartbeats(b, beBusy) })
}

const (
	benchUsers   = 10_000
	benchWatched = 2_000
	benchFirst   = 1_000_000 // the first user held here; those of the other gateway begin at 0
)

func benchmarkHeartbeats(b *testing.B, load func(*presence.Redis, *time.Ticker, time.Time)) {
	span := benchSpan(b)
	options := redisOptions(b, "one", func(parley.UserID, bool) {})
	options.Logger = slog.Default()
	options.Lease, options.Heartbeat, options.Timeout = 0, 0, 0
	one := openRedis(b, options)
	other := options
	other.Gateway, other.Lease, other.Heartbeat = "other", time.Minute, time.Minute/2
	gateway := startGateway(b, other, benchUsers)
	b.Cleanup(func() { _ = gateway.Process.Kill(); _ = gateway.Wait() })
	one.Watch(users(0, benchWatched))
	for i, u := range users(benchFirst, benchUsers) {
		one.Connect(u, device(i))
	}
	eventually(b, 30*time.Second, "all users of the other gateway are online", func() bool {
		n, err := countOnline(b, one, users(0, benchUsers))
		return err == nil && n == benchUsers && one.Stats().Queue == 0
	})
	for b.Loop() {
		before, began, used := one.Stats(), time.Now(), cpuTime(b)
		ticker := time.NewTicker(10 * time.Millisecond)
		load(one, ticker, began.Add(span))
		ticker.Stop()
		time.Sleep(time.Until(began.Add(span)))
		passed := time.Since(began)
		b.ReportMetric(100*float64(cpuTime(b)-used)/float64(passed), "cpu_pct_of_core")
		after := one.Stats()
		b.ReportMetric(float64(after.Beats-before.Beats), "beats")
		b.ReportMetric(float64(after.Written-before.Written)/passed.Seconds(), "writes/s")
		b.ReportMetric(float64(after.Lookups-before.Lookups)/passed.Seconds(), "lookups/s")
		b.ReportMetric(float64(after.CacheHits-before.CacheHits)/passed.Seconds(), "hits/s")
		if after.Users < benchUsers-200 || after.Dropped != 0 || after.Degraded != 0 || after.BeatsMissed != before.BeatsMissed {
			b.Errorf("stats = %+v", after)
		}
	}
}

// beBusy has one session end, one begin and 50 users asked after, a hundred times
// a second. Who has left comes back after two seconds.
func beBusy(r *presence.Redis, ticker *time.Ticker, until time.Time) {
	into := make([]bool, 50)
	for i := 0; time.Now().Before(until); i++ {
		<-ticker.C
		leaves := i % benchUsers
		r.Disconnect(user(benchFirst+leaves), device(leaves))
		if comes := i - 200; comes >= 0 {
			r.Connect(user(benchFirst+comes%benchUsers), device(comes%benchUsers))
		}
		if r.Online(context.Background(), users(i*50%benchUsers, 50), into) != nil {
			return // Stats tell
		}
	}
}

func benchSpan(b *testing.B) time.Duration {
	seconds := 35
	if s := os.Getenv("PARLEY_PRESENCE_SECONDS"); s != "" {
		var err error
		if seconds, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	return time.Duration(seconds) * time.Second
}

// cpuTime is what this process has used, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkConnect is a session that begins and ends.
func BenchmarkConnect(b *testing.B) {
	for name, r := range map[string]presence.Registry{
		"memory": presence.NewMemory(presence.Options{}),
		"redis":  openRedis(b, redisOptions(b, "one", nil)),
	} {
		b.Run(name, func(b *testing.B) {
			list := users(0, benchUsers)
			for i := 0; b.Loop(); i++ {
				u, d := list[i%len(list)], device(i%len(list))
				r.Connect(u, d)
				r.Disconnect(u, d)
			}
		})
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}
}
