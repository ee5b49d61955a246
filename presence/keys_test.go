package presence

import (
	"testing"
	"time"

	"github.com/parleychat/parley"
)

// TestKeys pins what stands in Redis: processes of different versions share it.
func TestKeys(t *testing.T) {
	n := names{"parley:presence:"}
	u := parley.UserID{0x0a, 15: 0xff}
	const key = "parley:presence:user:{0a0000000000000000000000000000ff}"
	if got := n.user(u); got != key {
		t.Errorf("user key %q", got)
	}
	if got, ok := n.parseUser(key); !ok || got != u {
		t.Errorf("parsed %v, %v", got, ok)
	}
	for _, other := range []string{"", "user:{0a}", key + "x", key[:len(key)-2] + "g}", n.lease("one")} {
		if _, ok := n.parseUser(other); ok {
			t.Errorf("%q was taken for a user", other)
		}
	}
	if got := n.lease("eu-1"); got != "parley:presence:lease:{eu-1}" || !n.isLease(got) || n.isLease(key) {
		t.Errorf("lease key %q", got)
	}
	if got := formatLease(time.UnixMilli(1700000000123), []epoch{"00000000000000ab", "00000000000000cd"}); got != "1700000000123 00000000000000ab 00000000000000cd" {
		t.Errorf("lease %q", got)
	}
	if got := formatField(parley.DeviceID{15: 7}, "00000000000000ab"); got != "00000000000000000000000000000007:00000000000000ab" {
		t.Errorf("field %q", got)
	}
}

func TestLeaseNames(t *testing.T) {
	l := lease("1700000000123 00000000000000ab 00000000000000cd")
	for e, want := range map[epoch]bool{"00000000000000ab": true, "00000000000000cd": true, "00000000000000ac": false, "1700000000123": false, "": false} {
		if l.names(e) != want || lease("").names(e) {
			t.Errorf("names %q", e)
		}
	}
}

// TestParseClaim: what others wrote and this version does not know is no claim.
func TestParseClaim(t *testing.T) {
	const field = "00000000000000000000000000000007:00000000000000ab"
	if c, ok := parseClaim(field, "one"); !ok || c != (claim{field, "one", "00000000000000ab"}) {
		t.Errorf("claim %+v, %v", c, ok)
	}
	for _, bad := range []string{"", ":", "7:00000000000000ab", field + "0", field[:40], "x" + field} {
		if _, ok := parseClaim(bad, "one"); ok {
			t.Errorf("%q was taken for a claim", bad)
		}
	}
	if _, ok := parseClaim(field, ""); ok {
		t.Error("a claim of nobody")
	}
}
