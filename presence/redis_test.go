package presence_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/redistest"
	"github.com/parleychat/parley/presence"
)

// TestTwoGateways: each sees the other's users, a device that is on both stays
// online until it has left both, and Close shows a gateway's users offline at once.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	var h heard
	long := func(o presence.RedisOptions) presence.RedisOptions {
		o.Lease, o.Heartbeat = time.Minute, 0 // nothing here may rest on the end of a lease
		return o
	}
	one := openRedis(t, long(redisOptions(t, "one", h.changed)))
	two := openRedis(t, long(redisOptions(t, "two", nil)))
	ann, bob, phone := user(1), user(2), device(1)
	one.Connect(ann, phone)
	two.Connect(bob, phone)
	wantOnline(t, one, bob, true, soon)
	wantOnline(t, two, ann, true, soon)
	one.Watch([]parley.UserID{ann, bob})

	two.Connect(ann, phone)
	eventually(t, soon, "the second session of ann is written", func() bool { return two.Stats().Written == 2 })
	one.Disconnect(ann, phone)
	time.Sleep(100 * time.Millisecond)
	wantOnline(t, one, ann, true, soon)
	wantOnline(t, one, bob, true, soon)

	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	h.want(t, bob, false, soon)
	h.want(t, ann, false, soon)
	wantOnline(t, one, bob, false, soon)
	eventually(t, soon, "the void entries are removed", func() bool { return one.Stats().Void == 2 })
}

// TestRestartUnderTheSameName: a process that starts under the name of a dead one
// voids what that one wrote, without waiting for the end of its lease. The dead one
// is played by a process that still runs: it finds itself superseded, and comes
// back with its users when the other is gone.
func TestRestartUnderTheSameName(t *testing.T) {
	t.Parallel()
	var h heard
	dead := openRedis(t, redisOptions(t, "one", nil))
	judge := openRedis(t, redisOptions(t, "judge", h.changed))
	judge.Watch(users(1, 2))
	if _, err := countOnline(t, judge, users(1, 2)); err != nil {
		t.Fatal(err)
	}
	dead.Connect(user(1), device(1))
	h.want(t, user(1), true, soon)
	wantOnline(t, judge, user(1), true, soon)

	again := openRedis(t, redisOptions(t, "one", nil))
	again.Connect(user(2), device(1))
	h.want(t, user(1), false, soon)
	h.want(t, user(2), true, soon)
	eventually(t, soon, "the former process knows", func() bool { return dead.Stats().Superseded })
	wantOnline(t, dead, user(2), true, soon)

	dead.Connect(user(2), device(1)) // on both, under one name: the living one's counts
	dead.Disconnect(user(2), device(1))
	time.Sleep(testHeartbeat)
	wantOnline(t, judge, user(2), true, soon)

	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	h.want(t, user(1), true, 2*soon)
	h.want(t, user(2), false, soon)
	if dead.Stats().Superseded {
		t.Error("still superseded")
	}
}

// TestKilledGateway: a process that is killed takes its users offline when its
// lease ends, for who asks and for who watches, and not before.
func TestKilledGateway(t *testing.T) {
	var h heard
	t.Parallel()
	options := redisOptions(t, "one", h.changed)
	options.Lease, options.Heartbeat = 6*time.Second, 3*time.Second
	if s := os.Getenv("PARLEY_PRESENCE_LEASE"); s != "" { // the long form: 60s
		held, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		options.Lease, options.Heartbeat = held, held/2
	}
	one := openRedis(t, options)
	list := users(0, gatewayUsers)
	one.Watch(list)
	options.Gateway = "killed"
	gateway := startGateway(t, options, gatewayUsers)
	wantCount(t, one, list, len(list))
	if err := gateway.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = gateway.Wait() // it says that it was killed
	if n, err := countOnline(t, one, list); n != len(list) || err != nil {
		t.Errorf("%d of %d are online when the process is just dead, %v", n, len(list), err)
	}
	for _, u := range list {
		h.want(t, u, false, options.Lease+max(options.Lease/12, soon)) // 65 s, by default
	}
	took := time.Since(killed)
	t.Logf("all offline %v after the kill", took.Round(time.Millisecond))
	wantCount(t, one, list, 0)
	if early := options.Lease - options.Heartbeat - options.Lease/10; took < early {
		t.Errorf("offline after %v, with a lease of %v", took, options.Lease)
	}
	eventually(t, soon, "the void entries are removed", func() bool { return one.Stats().Void == gatewayUsers })
}

// gatewayUsers is how many users the gateway has that is killed.
const gatewayUsers = 50

const gatewayEnv = "PRESENCE_TEST_GATEWAY"

// startGateway runs a registry in a process of its own, with this many users.
func startGateway(t testing.TB, o presence.RedisOptions, count int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gateway := exec.Command(self)
	gateway.Env = append(os.Environ(), gatewayEnv+"="+strings.Join(append([]string{strconv.Itoa(count), o.Lease.String(), o.Heartbeat.String(), o.Gateway, o.Prefix}, o.Addresses...), " "))
	gateway.Stderr = os.Stderr
	in, err := gateway.StdinPipe() // it ends when this one does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	out, err := gateway.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the gateway said %q, %v", line, err)
	}
	return gateway
}

// runGateway is that process.
func runGateway(arguments string) int {
	words := strings.Fields(arguments)
	count, _ := strconv.Atoi(words[0])
	held, _ := time.ParseDuration(words[1])
	beat, _ := time.ParseDuration(words[2])
	r, err := presence.OpenRedis(context.Background(), presence.RedisOptions{
		Lease: held, Heartbeat: beat, Gateway: words[3], Prefix: words[4], Addresses: words[5:],
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i, u := range users(0, count) {
		r.Connect(u, device(i))
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// TestOutage: all masters stop, hang or lose everything. Online answers at once
// with what is known here, callers never wait, and when the masters are back
// everybody stands right again within a heartbeat.
func TestOutage(t *testing.T) {
	cluster := startCluster(t)
	each := func(t *testing.T, do func(int) error) {
		t.Helper()
		for i := range redistest.Masters {
			if err := do(i); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, outage := range map[string]struct{ away, back func(int) error }{
		"hanging": {cluster.Pause, cluster.Resume},
		"killed":  {cluster.Kill, cluster.Restart},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			one := openRedis(t, redisOptions(t, "one", nil))
			two := openRedis(t, redisOptions(t, "two", h.changed))
			two.Watch(users(0, 30))
			for i := range 20 {
				one.Connect(user(i), device(i))
			}
			two.Connect(user(99), device(1))
			wantOnline(t, two, user(0), true, soon)
			wantOnline(t, two, user(19), true, soon)
			wantOnline(t, one, user(99), true, soon)

			each(t, outage.away)
			t.Cleanup(func() { each(t, outage.back); waitReady(t, cluster) })
			wantDegraded(t, two)
			if since := two.Stats().DegradedSince; since.IsZero() {
				t.Error("degraded since never")
			}
			for i := range 10 { // half of them leave, as many come
				one.Disconnect(user(i), device(i))
				one.Connect(user(20+i), device(i))
			}
			time.Sleep(testLease + 2*testHeartbeat) // the leases end meanwhile
			for i := range 20 {
				if online, told := h.of(user(i)); told && !online {
					t.Errorf("user %d was told to be offline while nobody knew", i)
				}
			}

			each(t, outage.back)
			waitReady(t, cluster)
			back := time.Now()
			eventually(t, 15*time.Second, "no longer degraded", func() bool {
				return one.Stats().DegradedSince.IsZero() && two.Stats().DegradedSince.IsZero()
			})
			t.Logf("whole again %v after the cluster", time.Since(back).Round(time.Millisecond))
			for i := range 30 {
				wantOnline(t, two, user(i), i >= 10, soon)
			}
			wantOnline(t, one, user(99), true, soon)
			for i := range 10 {
				h.want(t, user(i), false, soon)
				h.want(t, user(20+i), true, soon)
			}
		})
	}
}

func waitReady(t *testing.T, cluster *redistest.Cluster) {
	t.Helper()
	if err := cluster.WaitReady(); err != nil {
		t.Fatal(err)
	}
}

// wantDegraded holds a registry to its promises while Redis is away.
func wantDegraded(t *testing.T, r presence.Registry) {
	t.Helper()
	into := make([]bool, 2)
	slow := 0
	eventually(t, 10*time.Second, "degraded", func() bool {
		began := time.Now()
		err := r.Online(t.Context(), []parley.UserID{user(1), user(99)}, into)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("an answer took %v", took)
		}
		return errors.Is(err, presence.ErrDegraded)
	})
	for range 50 {
		began := time.Now()
		err := r.Online(t.Context(), []parley.UserID{user(12345), user(99)}, into)
		if !errors.Is(err, presence.ErrDegraded) {
			t.Errorf("error = %v", err)
		}
		if !into[1] {
			t.Error("a user with a session here is not online")
		}
		r.Connect(user(500), device(1))
		r.Disconnect(user(500), device(1))
		if time.Since(began) > 50*time.Millisecond {
			slow++
		}
	}
	if slow > 5 { // a busy machine may be slow once or twice
		t.Errorf("%d of 50 rounds were slow", slow)
	}
}

// TestOneMasterRestarts: one master loses what it held, the others do not. It is
// noticed, and everything is written again.
func TestOneMasterRestarts(t *testing.T) {
	cluster := startCluster(t)
	for i := range redistest.Masters {
		options := redisOptions(t, fmt.Sprint("one-", i), nil)
		options.Lease, options.Heartbeat = 12*time.Second, 6*time.Second // no write is to find it out
		one := openRedis(t, options)
		two := openRedis(t, redisOptions(t, fmt.Sprint("two-", i), nil))
		list := users(1000*i, 100)
		for _, u := range list {
			one.Connect(u, device(1))
		}
		wantCount(t, two, list, len(list))
		if err := cluster.Kill(i); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Restart(i); err != nil {
			t.Fatal(err)
		}
		waitReady(t, cluster)
		eventually(t, 10*time.Second, "everything is written anew", func() bool { return one.Stats().Rewrites == 1 })
		wantCount(t, two, list, len(list))
	}
}

func wantCount(t *testing.T, r presence.Registry, list []parley.UserID, want int) {
	t.Helper()
	got := 0
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("%d of %d, %v", got, want, err)
		}
	}()
	eventually(t, 10*time.Second, fmt.Sprintf("%d are online", want), func() bool {
		got, err = countOnline(t, r, list)
		return err == nil && got == want
	})
}

// TestOverflow: more changes than the queue holds, while Redis hangs. What was
// dropped is made good: nobody is missing and nobody is left over.
func TestOverflow(t *testing.T) {
	cluster := startCluster(t)
	options := redisOptions(t, "one", nil)
	options.QueueMax = 50
	one := openRedis(t, options)
	two := openRedis(t, redisOptions(t, "two", nil))
	list := users(0, 400)
	for i, u := range list[:80] {
		one.Connect(u, device(i))
	}
	wantCount(t, two, list, 80)
	for i := range redistest.Masters {
		if err := cluster.Pause(i); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cluster.Resume(i) })
	}
	for i, u := range list[:80] {
		one.Disconnect(u, device(i))
	}
	for i, u := range list[80:] {
		one.Connect(u, device(i))
	}
	if s := one.Stats(); s.Dropped == 0 || s.Queue > s.QueueMax || s.QueueMax != 50 {
		t.Errorf("stats = %+v", s)
	}
	for i := range redistest.Masters {
		if err := cluster.Resume(i); err != nil {
			t.Fatal(err)
		}
	}
	waitReady(t, cluster)
	wantCount(t, two, list, 320)
	wantCount(t, two, list[80:], 320)
	if s := one.Stats(); s.Rewrites == 0 {
		t.Errorf("stats = %+v", s)
	}
}

// TestTenThousand: users of one process, seen by another, over several heartbeats
// and leases; looked up from the cache the second time.
func TestTenThousand(t *testing.T) {
	const people = 10_000
	one := openRedis(t, redisOptions(t, "one", nil))
	two := openRedis(t, redisOptions(t, "two", nil))
	list := users(0, people)
	began := time.Now()
	for i, u := range list {
		one.Connect(u, device(i))
	}
	connected := time.Since(began)
	if connected > time.Second {
		t.Errorf("connecting %d took %v", people, connected)
	}
	eventually(t, 10*time.Second, "all is written", func() bool { return one.Stats().Queue == 0 && one.Stats().Written >= people })
	t.Logf("%d connected in %v, written after %v", people, connected.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	wantCount(t, two, list, people)
	before := two.Stats()
	wantCount(t, two, list, people)
	after := two.Stats()
	if hits := after.CacheHits - before.CacheHits; hits < people*8/10 {
		t.Errorf("%d of %d look-ups were answered by the cache", hits, after.Lookups-before.Lookups)
	}
	time.Sleep(testLease + testHeartbeat)
	wantCount(t, two, list, people)
	if s := one.Stats(); s.Beats < 4 || s.Dropped != 0 || s.Users != people {
		t.Errorf("stats = %+v", s)
	}
	for i, u := range list {
		one.Disconnect(u, device(i))
	}
	wantCount(t, two, list, 0)
}

// TestNothingStaysForEver: every key expires.
func TestNothingStaysForEver(t *testing.T) {
	t.Parallel()
	one := openRedis(t, redisOptions(t, "one", nil))
	one.Connect(user(1), device(1))
	eventually(t, soon, "it is written", func() bool { return one.Stats().Written > 0 })
	prefix := t.Name() + ":"
	for _, key := range []string{prefix + "lease:{one}", prefix + "user:{" + strings.ReplaceAll(user(1).String(), "-", "") + "}"} {
		out, err := startCluster(t).Ask("PTTL", key)
		if err != nil || strings.HasPrefix(out, "-") {
			t.Errorf("PTTL %s: %q, %v", key, out, err)
		}
	}
}

// TestOpenWhileAway: a registry opens without Redis, degraded, and is whole when
// Redis comes.
func TestOpenWhileAway(t *testing.T) {
	cluster := startCluster(t)
	for i := range redistest.Masters {
		if err := cluster.Kill(i); err != nil {
			t.Fatal(err)
		}
	}
	one := openRedis(t, redisOptions(t, "one", nil))
	one.Connect(user(99), device(1))
	wantDegraded(t, one)
	for i := range redistest.Masters {
		if err := cluster.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	waitReady(t, cluster)
	two := openRedis(t, redisOptions(t, "two", nil))
	wantOnline(t, two, user(99), true, 10*time.Second)
}

// TestCommandsAllowed: a user with the rights that docs/PRESENCE.md lists can do
// everything; one with another password is degraded and says why.
func TestCommandsAllowed(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t)
	rules := append([]string{"ACL", "SETUSER", "parley", "reset", "on", ">secret", "~" + t.Name() + ":*"}, documentedCommands(t)...)
	for i := range redistest.Masters {
		if out, err := cluster.AskMaster(i, rules...); err != nil || strings.TrimSpace(out) != "OK" {
			t.Fatalf("%v: %q, %v", rules, out, err)
		}
	}
	var h heard
	options := redisOptions(t, "one", nil)
	options.Username, options.Password = "parley", "secret"
	one := openRedis(t, options)
	options.Gateway, options.Changed = "two", h.changed
	two := openRedis(t, options)
	two.Watch(users(1, 1))
	wantOnline(t, two, user(1), false, soon)
	one.Connect(user(1), device(1))
	h.want(t, user(1), true, soon)
	time.Sleep(2 * testHeartbeat) // renewed and refreshed
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	h.want(t, user(1), false, soon)
	eventually(t, soon, "the void entry is removed", func() bool { return two.Stats().Void == 1 })
	if s := two.Stats(); s.BeatsMissed != 0 || s.Degraded != 0 {
		t.Errorf("stats = %+v", s)
	}
	if out, err := cluster.Ask("ACL", "LOG"); err != nil || strings.Contains(out, "parley") {
		t.Errorf("refused: %s, %v", out, err)
	}

	options.Gateway, options.Password = "three", "guessed"
	three := openRedis(t, options)
	if three.Stats().DegradedSince.IsZero() {
		t.Error("not degraded with a wrong password")
	}
}

// TestReplicaTakesOver: a master is gone for good, and its replica serves in its
// place. The registries find it, and everything is written anew, for a replica may
// lack what was written last.
func TestReplicaTakesOver(t *testing.T) {
	t.Parallel()
	cluster, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.AddReplica(1); err != nil {
		t.Fatal(err)
	}
	var h heard
	options := redisOptions(t, "one", nil)
	options.Addresses = cluster.Addresses()
	one := openRedis(t, options)
	options.Gateway, options.Changed = "two", h.changed
	two := openRedis(t, options)
	list := users(0, 200)
	for i, u := range list {
		one.Connect(u, device(i))
	}
	wantCount(t, two, list, len(list))
	two.Watch(list)
	if err := cluster.Kill(1); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	eventually(t, 30*time.Second, "everything is written anew", func() bool {
		return one.Stats().Rewrites > 0 && one.Stats().DegradedSince.IsZero()
	})
	t.Logf("whole again %v after the kill", time.Since(killed).Round(time.Millisecond))
	wantCount(t, two, list, len(list))
	one.Disconnect(list[0], device(0))
	h.want(t, list[0], false, 2*soon)
	wantCount(t, two, list, len(list)-1)
}

// TestTLS: a cluster that speaks TLS alone.
func TestTLS(t *testing.T) {
	t.Parallel()
	cluster, err := redistest.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	options := redisOptions(t, "one", nil)
	options.Addresses, options.TLS = cluster.Addresses(), cluster.TLS()
	one := openRedis(t, options)
	options.Gateway = "two"
	two := openRedis(t, options)
	one.Connect(user(1), device(1))
	wantOnline(t, two, user(1), true, soon)
}

// documentedCommands are those that docs/PRESENCE.md says have to be allowed.
func documentedCommands(t *testing.T) (rules []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/PRESENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "### What Redis has to allow")
	list, _, ends := strings.Cut(list, "on keys that")
	if !found || !ends {
		t.Fatal("docs/PRESENCE.md does not list the commands")
	}
	for _, command := range strings.Fields(list) {
		rules = append(rules, "+"+strings.ToLower(command))
	}
	return rules
}

func TestOptionsThatCannotBe(t *testing.T) {
	good := presence.RedisOptions{Addresses: []string{"127.0.0.1:1"}, Gateway: "one"}
	for name, spoil := range map[string]func(*presence.RedisOptions){
		"no address":       func(o *presence.RedisOptions) { o.Addresses = nil },
		"no gateway":       func(o *presence.RedisOptions) { o.Gateway = "" },
		"brace":            func(o *presence.RedisOptions) { o.Gateway = "a}" },
		"long":             func(o *presence.RedisOptions) { o.Gateway = strings.Repeat("g", 65) },
		"prefix":           func(o *presence.RedisOptions) { o.Prefix = "{a}" },
		"slow heartbeat":   func(o *presence.RedisOptions) { o.Heartbeat = 31 * time.Second },
		"negative timeout": func(o *presence.RedisOptions) { o.Timeout = -1 },
	} {
		o := good
		spoil(&o)
		if r, err := presence.OpenRedis(t.Context(), o); err == nil {
			r.Close()
			t.Errorf("%s: no error", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := presence.OpenRedis(ended, good); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}
