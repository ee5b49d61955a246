package presence

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/parleychat/parley"
)

// What stands in Redis, all of it text:
//
//	<prefix>user:{<user, 32 hex digits>}     hash, expires hashBeats beats after its last write
//	    <device, 32 hex digits>:<epoch, 16 hex digits>  →  <gateway>
//
//	<prefix>lease:{<gateway>}                string, expires after Lease
//	    <last beat, ms since 1970> <epoch>[ <epoch>…]
//
// An entry counts while its gateway's lease names its epoch. The lease names an
// epoch before the first entry is written under it, and an epoch that it named and
// no longer names never comes back: so whoever sees an entry first and then a lease
// without its epoch may remove the entry, at any time.
const (
	userKey  = "user:{"
	leaseKey = "lease:{"
)

// epoch tells the entries of one span of a process's life from those before: one
// for each start, and another whenever everything is written anew.
type epoch string

const epochLen = 16

// claim is an entry: the gateway has a session of the user's, in that epoch.
type claim struct {
	field   string
	gateway string
	epoch   epoch
}

// lease is the value of a gateway's lease, empty if there is none.
type lease string

func (l lease) names(e epoch) bool {
	_, epochs, _ := strings.Cut(string(l), " ")
	for one := range strings.SplitSeq(epochs, " ") {
		if one == string(e) && e != "" {
			return true
		}
	}
	return false
}

// epochs is the lease without its beat: what a change of it means.
func (l lease) epochs() string {
	_, epochs, _ := strings.Cut(string(l), " ")
	return epochs
}

func formatLease(beat time.Time, epochs []epoch) string {
	var b strings.Builder
	b.WriteString(strconv.FormatInt(beat.UnixMilli(), 10))
	for _, e := range epochs {
		b.WriteByte(' ')
		b.WriteString(string(e))
	}
	return b.String()
}

func formatField(d parley.DeviceID, e epoch) string {
	return hex.EncodeToString(d[:]) + ":" + string(e)
}

// parseClaim takes what others wrote; what it does not know is no claim.
func parseClaim(field, gateway string) (claim, bool) {
	device, e, ok := strings.Cut(field, ":")
	if !ok || len(device) != 32 || len(e) != epochLen || gateway == "" {
		return claim{}, false
	}
	return claim{field, gateway, epoch(e)}, true
}

// names makes and reads the keys of one installation.
type names struct{ prefix string }

func (n names) user(u parley.UserID) string {
	return n.prefix + userKey + hex.EncodeToString(u[:]) + "}"
}

func (n names) lease(gateway string) string { return n.prefix + leaseKey + gateway + "}" }

// parseUser reads what user wrote.
func (n names) parseUser(key string) (u parley.UserID, ok bool) {
	digits, ok := strings.CutPrefix(key, n.prefix+userKey)
	if !ok || len(digits) != 33 || digits[32] != '}' {
		return u, false
	}
	_, err := hex.Decode(u[:], []byte(digits[:32]))
	return u, err == nil
}

func (n names) isLease(key string) bool { return strings.HasPrefix(key, n.prefix+leaseKey) }
