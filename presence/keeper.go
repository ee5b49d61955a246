package presence

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/parleychat/parley"
)

const (
	// batchMax is how many writes are on their way at once.
	batchMax = 256

	// gather is how long the first change waits for others to travel with.
	gather = 50 * time.Millisecond

	// refreshBeats is in how many beats every entry is written again, a portion
	// in each, so that it does not expire and what was lost unseen is repaired.
	// It divides shardCount.
	refreshBeats = 32

	// hashBeats is after how many beats without a write a user's key expires: an
	// hour, by default.
	hashBeats = 120

	// epochsMax bounds the epochs that a lease names. There are two while
	// everything is written anew, and more only if that fails again and again.
	epochsMax = 4
)

// writeScript writes an entry and when its key expires, both or neither, so that
// no key is left for ever.
const writeScript = `redis.call('HSET',KEYS[1],ARGV[1],ARGV[2]) return redis.call('PEXPIRE',KEYS[1],ARGV[3])`

// claimScript sets the lease to ARGV[1] for ARGV[2] ms if it names one of the epochs
// from ARGV[4] on or, if ARGV[3] is 1, if there is none. ARGV[1] empty removes it.
const claimScript = `local v=redis.call('GET',KEYS[1])
if not v and ARGV[3]=='0' then return 'absent' end
local ours=not v
for i=4,#ARGV do ours=ours or string.find(v,ARGV[i],1,true) end
if not ours then return 'taken' end
if ARGV[1]=='' then redis.call('DEL',KEYS[1]) else redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) end
return 'held'`

// keeper holds the lease and writes, in one goroutine.
//
// Everything is written anew, under a new epoch, when what stands in Redis may
// differ from what is held here: the lease had ended, a master was restarted or
// replaced, a write failed (it may still arrive, late), or the queue overflowed.
// The lease names both epochs meanwhile, so that nobody seems offline, and the new
// one alone when all is written: then whatever was written before is void,
// wherever it is.
type keeper struct {
	*Redis

	first    chan struct{} // closed after the first attempt
	opened   bool          // the lease was taken once
	masters  string        // the masters and which process each is, at the last beat
	anew     bool          // everything has to be written anew
	used     bool          // something was written under the newest epoch
	lastBeat time.Time
	nextBeat time.Time
	portion  int
}

func (k *keeper) run() {
	k.beat()
	close(k.first)
	timer := time.NewTimer(time.Until(k.nextBeat))
	defer timer.Stop()
	for {
		select {
		case <-k.ctx.Done():
			k.release()
			return
		case <-timer.C:
		case <-k.trouble:
			k.nextBeat = earlier(k.nextBeat, k.lastBeat.Add(k.retry))
		case <-k.queue.wake:
			k.sleep(gather)
		case <-k.voids.wake:
		}
		if !time.Now().Before(k.nextBeat) {
			k.beat()
		}
		k.write()
		k.removeVoid()
		timer.Reset(time.Until(k.nextBeat))
	}
}

// sleep waits, but not past Close.
func (k *keeper) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-k.ctx.Done():
	case <-timer.C:
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// beat renews the lease, and finds out whether Redis is there and has kept what
// it was given.
func (k *keeper) beat() {
	err := k.tryBeat()
	k.lastBeat = time.Now()
	if err != nil {
		k.nextBeat = k.lastBeat.Add(k.retry)
		k.counters.beatsMissed.Add(1)
		if k.ctx.Err() == nil {
			k.lost(err)
			k.settleTrouble()
		}
		return
	}
	k.nextBeat = k.lastBeat.Add(k.options.Heartbeat)
	k.counters.beats.Add(1)
	k.regained()
}

// settleTrouble takes back what lost has asked for: the next beat has its time.
func (k *keeper) settleTrouble() {
	select {
	case <-k.trouble:
	default:
	}
}

func (k *keeper) tryBeat() error {
	if err := k.connect(); err != nil {
		return err
	}
	if err := k.renew(); err != nil {
		return err
	}
	masters, err := k.readMasters()
	if err != nil {
		return err
	}
	if k.masters != "" && k.masters != masters {
		k.anew = true
	}
	k.masters = masters
	if k.superseded.Load() {
		return nil
	}
	if k.queue.takeOverflow() {
		k.anew = true
	}
	if k.anew {
		return k.rewrite()
	}
	return k.refresh()
}

func (k *keeper) connect() error {
	if k.client.Load() != nil {
		return nil
	}
	client, err := k.dial()
	if err != nil {
		return err
	}
	k.client.Store(&client)
	return nil
}

// renew renews the lease, or takes it for the first time.
func (k *keeper) renew() error {
	if !k.opened {
		ctx, cancel := k.timeout()
		defer cancel()
		c := *k.client.Load()
		set := c.B().Set().Key(k.names.lease(k.options.Gateway)).Value(formatLease(time.Now(), *k.epochs.Load())).Px(k.options.Lease).Build()
		if err := c.Do(ctx, set).Error(); err != nil {
			return fmt.Errorf("take the lease: %w", err)
		}
		k.opened = true
		return nil
	}
	state, err := k.claim(*k.epochs.Load(), false)
	if err != nil {
		return err
	}
	if taken := state == "taken"; taken != k.superseded.Swap(taken) && taken {
		k.options.Logger.Error("another process has this gateway's name; users of this one are shown offline", "gateway", k.options.Gateway)
	}
	if state == "absent" {
		k.epochs.Store(&[]epoch{newEpoch()}) // an epoch ends with its lease
		k.used, k.anew = false, true
	}
	return nil
}

// claim has the lease name these epochs, or nothing, if it is ours; or if there is
// none, where that is enough.
func (k *keeper) claim(naming []epoch, create bool) (state string, err error) {
	ctx, cancel := k.timeout()
	defer cancel()
	value, may := "", "0"
	if len(naming) > 0 {
		value = formatLease(time.Now(), naming)
	}
	if create {
		may = "1"
	}
	c := *k.client.Load()
	command := c.B().Eval().Script(claimScript).Numkeys(1).Key(k.names.lease(k.options.Gateway)).
		Arg(value, strconv.FormatInt(k.options.Lease.Milliseconds(), 10), may)
	for _, e := range *k.epochs.Load() {
		command = command.Arg(string(e))
	}
	if state, err = c.Do(ctx, command.Build()).ToString(); err != nil {
		return "", fmt.Errorf("renew the lease: %w", err)
	}
	return state, nil
}

// timeout bounds one exchange with Redis. It outlives Close, which waits for it.
func (k *keeper) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 4*k.options.Timeout)
}

// pushEpoch begins an epoch. The one before it is among those that stay, so the
// lease is still known to be ours.
func (k *keeper) pushEpoch() {
	epochs := slices.Insert(slices.Clone(*k.epochs.Load()), 0, newEpoch())
	epochs = epochs[:min(len(epochs), epochsMax)]
	k.epochs.Store(&epochs)
	k.used = false
}

// rewrite writes everything that is held under an epoch in which nothing was
// written yet, and then lets the former ones go.
func (k *keeper) rewrite() error {
	if k.used {
		k.pushEpoch()
	}
	epochs := *k.epochs.Load()
	if state, err := k.claim(epochs, true); err != nil || state != "held" {
		return err // taken: the next beat says so
	}
	claimed := time.Now()
	for shard := range shardCount {
		if err := k.writeAll(k.sessions.appendShard(nil, shard)); err != nil {
			return err
		}
		if time.Since(claimed) > k.options.Heartbeat {
			if state, err := k.claim(epochs, false); err != nil || state != "held" {
				return err
			}
			claimed = time.Now()
		}
	}
	if state, err := k.claim(epochs[:1], false); err != nil || state != "held" {
		return err
	}
	newest := epochs[:1:1]
	k.epochs.Store(&newest)
	k.anew = false
	k.counters.rewrites.Add(1)
	return nil
}

func (k *keeper) writeAll(held []deviceKey) error {
	for batch := range slices.Chunk(held, batchMax) {
		if err := k.writeBatch(batch); err != nil {
			return err
		}
	}
	return nil
}

// write writes what waits, until the next beat is due.
func (k *keeper) write() {
	var batch []deviceKey
	for !k.isDegraded() && !k.superseded.Load() && k.opened && time.Now().Before(k.nextBeat) && k.ctx.Err() == nil {
		batch = k.queue.take(batch[:0], batchMax)
		if len(batch) == 0 {
			return
		}
		if err := k.writeBatch(batch); err != nil {
			k.lost(err)
			return
		}
	}
}

// writeBatch writes the entries of devices that are held and removes those of
// others. If it fails everything has to be written anew.
func (k *keeper) writeBatch(batch []deviceKey) error {
	k.used = true
	c := *k.client.Load()
	epochs := *k.epochs.Load()
	expire := strconv.FormatInt((hashBeats * k.options.Heartbeat).Milliseconds(), 10)
	commands := make(rueidis.Commands, len(batch))
	for i, one := range batch {
		key := k.names.user(one.user)
		if k.sessions.holds(one) {
			commands[i] = c.B().Eval().Script(writeScript).Numkeys(1).Key(key).
				Arg(formatField(one.device, epochs[0]), k.options.Gateway, expire).Build()
			continue
		}
		fields := make([]string, len(epochs))
		for j, e := range epochs {
			fields[j] = formatField(one.device, e)
		}
		commands[i] = c.B().Hdel().Key(key).Field(fields...).Build()
	}
	if _, err := k.do(commands); err != nil {
		k.anew = true
		return fmt.Errorf("write: %w", err)
	}
	k.counters.written.Add(uint64(len(batch)))
	return nil
}

// do sends the commands at once. It returns the sum of what they answered and the
// first error.
func (k *keeper) do(commands rueidis.Commands) (sum int, err error) {
	ctx, cancel := k.timeout()
	defer cancel()
	for _, answer := range (*k.client.Load()).DoMulti(ctx, commands...) {
		n, failed := answer.AsInt64()
		sum += int(n)
		if failed != nil && err == nil {
			err = failed
		}
	}
	return sum, err
}

// refresh writes one portion of the entries again, having looked for void ones
// beside them.
func (k *keeper) refresh() error {
	const shards = shardCount / refreshBeats
	k.portion = (k.portion + 1) % refreshBeats
	for shard := k.portion * shards; shard < (k.portion+1)*shards; shard++ {
		held := k.sessions.appendShard(nil, shard)
		for batch := range slices.Chunk(held, UsersMax) {
			if err := k.lookForVoid(batch); err != nil {
				return err
			}
		}
		if err := k.writeAll(held); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) lookForVoid(batch []deviceKey) error {
	ctx, cancel := k.timeout()
	defer cancel()
	users := make([]parley.UserID, len(batch))
	for i, one := range batch {
		users[i] = one.user
	}
	return k.lookUp(ctx, users, make([]standing, len(users)), nil)
}

// removeVoid removes entries that seemed void and are: the lease is read anew, for
// the cache may not have heard yet of an epoch that has begun.
func (k *keeper) removeVoid() {
	for !k.isDegraded() && k.opened && time.Now().Before(k.nextBeat) && k.ctx.Err() == nil {
		batch := k.voids.take(nil, batchMax)
		if len(batch) == 0 {
			return
		}
		if err := k.removeBatch(batch); err != nil {
			k.lost(err) // they are found again
			return
		}
	}
}

func (k *keeper) removeBatch(batch []void) error {
	leases, err := k.freshLeases(batch)
	if err != nil {
		return fmt.Errorf("read leases: %w", err)
	}
	c := *k.client.Load()
	var commands rueidis.Commands
	for _, one := range batch {
		if !leases[one.claim.gateway].names(one.claim.epoch) {
			commands = append(commands, c.B().Hdel().Key(k.names.user(one.user)).Field(one.claim.field).Build())
		}
	}
	if len(commands) == 0 {
		return nil
	}
	removed, err := k.do(commands)
	k.voids.count(removed)
	if err != nil {
		return fmt.Errorf("remove void entries: %w", err)
	}
	return nil
}

func (k *keeper) freshLeases(batch []void) (map[string]lease, error) {
	leases := make(map[string]lease)
	for _, one := range batch {
		leases[one.claim.gateway] = ""
	}
	ctx, cancel := k.timeout()
	defer cancel()
	c := *k.client.Load()
	for g := range leases {
		value, err := c.Do(ctx, c.B().Get().Key(k.names.lease(g)).Build()).ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		leases[g] = lease(value)
	}
	return leases, nil
}

// readMasters says which masters serve and which process each is: a process that
// was restarted may have forgotten everything. It fails unless all of them answer.
func (k *keeper) readMasters() (string, error) {
	nodes := (*k.client.Load()).Nodes()
	addresses, err := k.readPlan(nodes)
	if err != nil {
		return "", fmt.Errorf("read the cluster's plan: %w", err)
	}
	var b strings.Builder
	for _, address := range addresses {
		process := "unknown" // the client has yet to learn of it
		if node := nodes[address]; node != nil {
			if process, err = k.readProcess(node); err != nil {
				return "", fmt.Errorf("master %s: %w", address, err)
			}
		}
		fmt.Fprintf(&b, "%s=%s ", address, process)
	}
	return b.String(), nil
}

// readPlan asks one node after another until one says who serves which slots.
func (k *keeper) readPlan(nodes map[string]rueidis.Client) (masters []string, err error) {
	err = errNoClient
	for address, node := range nodes {
		var slots []rueidis.RedisMessage
		ctx, cancel := context.WithTimeout(context.Background(), k.options.Timeout)
		slots, err = node.Do(ctx, node.B().ClusterSlots().Build()).ToArray()
		cancel()
		if err == nil {
			return parseSlots(address, slots)
		}
	}
	return nil, err
}

// parseSlots reads [from, to, [host, port, …], …] of each range; an empty host is
// the one that was asked.
func parseSlots(asked string, slots []rueidis.RedisMessage) (masters []string, err error) {
	for i := range slots {
		span, err := slots[i].ToArray()
		if err != nil || len(span) < 3 {
			return nil, fmt.Errorf("slots that cannot be read: %v", err)
		}
		master, err := span[2].ToArray()
		if err != nil || len(master) < 2 {
			return nil, fmt.Errorf("a master that cannot be read: %v", err)
		}
		host, _ := master[0].ToString()
		if host == "" {
			host, _, _ = net.SplitHostPort(asked)
		}
		port, err := master[1].AsInt64()
		if err != nil {
			return nil, err
		}
		masters = append(masters, net.JoinHostPort(host, strconv.FormatInt(port, 10)))
	}
	slices.Sort(masters)
	return slices.Compact(masters), nil
}

// readProcess is the name that a server gives itself at each start.
func (k *keeper) readProcess(node rueidis.Client) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), k.options.Timeout)
	defer cancel()
	info, err := node.Do(ctx, node.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(info, "run_id:")
	if !found {
		return "", fmt.Errorf("INFO without run_id")
	}
	id, _, _ := strings.Cut(after, "\r\n")
	return id, nil
}

// release gives the lease back, unless Redis is away: then it ends by itself.
func (k *keeper) release() {
	if !k.opened || k.isDegraded() {
		return
	}
	_, _ = k.claim(nil, false)
}
