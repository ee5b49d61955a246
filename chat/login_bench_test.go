package chat

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// BenchmarkLogins has 10,000 users who are known come back, as many at once as a
// gateway lets in, on the disk of the temporary folder:
//
//	go test ./chat -run '^$' -bench Logins -benchtime 10000x
func BenchmarkLogins(b *testing.B) {
	const users, together = 10_000, 256
	s, err := Open(vfs.Default, b.TempDir(), Options{Engine: engine.Options{Logger: slog.New(slog.DiscardHandler)}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	come := func(n int64) {
		d := Device{ID: parley.DeviceID{0: 1, 1: byte(n), 2: byte(n >> 8)}, Name: "a phone", Platform: "Android"}
		insist(b, func() error {
			_, err := s.Login(b.Context(), parley.DefaultTenant, fmt.Sprint("user-", n), d)
			return err
		})
	}
	var next atomic.Int64
	storm := func(pb *testing.PB) {
		for pb.Next() {
			come(next.Add(1) % users)
		}
	}
	for n := range int64(users) {
		come(n)
	}
	groups := s.Engine().Stats().Groups
	b.SetParallelism(together / 2)
	b.ResetTimer()
	b.RunParallel(storm)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(b.N)/float64(s.Engine().Stats().Groups-groups), "logins/write")
}
