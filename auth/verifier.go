package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Options say which tokens a Verifier believes. With the zero value, all that
// its keys have signed, if they name no audience.
type Options struct {
	// Issuer must be the token's iss. Empty: any, or none.
	Issuer string

	// Audience must be the token's aud, or among them. Empty: the token must have
	// no aud, as RFC 7519 wants it.
	Audience string

	// RememberedMax is how many tokens that held are remembered, so that they
	// need not be checked again. Each takes about 200 bytes; checking one takes
	// 70 µs with EdDSA, 10 µs with HS256. Default 65536.
	RememberedMax int

	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Stats count what a Verifier has done.
type Stats struct {
	Checked    uint64 // tokens that held, by their signature
	Remembered uint64 // tokens that held, by memory
	Refused    uint64
	Entries    int // tokens in memory now
}

// Verifier checks tokens. Its methods may be called from any goroutine.
type Verifier struct {
	// Fixed by New.
	keys     map[string]*Key
	issuer   string
	audience string
	now      func() time.Time

	mu         sync.Mutex // guards below
	remembered memory
	stats      Stats
}

// Open makes a Verifier of the keys in a file; docs/AUTH.md describes it.
func Open(keyFile string, o Options) (*Verifier, error) {
	keys, err := LoadKeys(keyFile)
	if err != nil {
		return nil, err
	}
	v := &Verifier{keys: make(map[string]*Key, len(keys)), issuer: o.Issuer, audience: o.Audience, now: o.Now}
	for _, k := range keys {
		v.keys[k.id] = k
	}
	if v.now == nil {
		v.now = time.Now
	}
	if o.RememberedMax == 0 {
		o.RememberedMax = 1 << 16
	}
	v.remembered = memory{max: o.RememberedMax, claims: make(map[digest]Claims)}
	return v, nil
}

// Verify says who a token is. The error of one that is not believed matches
// parley.BadToken; it says why, and holds nothing of the token.
func (v *Verifier) Verify(token string) (Claims, error) {
	if len(token) > tokenMax { // before it is hashed
		return v.refuse(errSize)
	}
	now, id := v.now(), digest(sha256.Sum256([]byte(token)))
	if c, ok := v.recall(id, now); ok {
		return c, nil
	}
	c, err := v.check(token, now)
	if err != nil {
		return v.refuse(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Checked++
	v.remembered.add(id, c)
	return c, nil
}

func (v *Verifier) recall(id digest, now time.Time) (Claims, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c, ok := v.remembered.claims[id]
	if !ok || !now.Before(c.Expires) {
		return Claims{}, false
	}
	v.stats.Remembered++
	return c, true
}

func (v *Verifier) refuse(err error) (Claims, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Refused++
	return Claims{}, err
}

// check reads a token: its form, its header, its signature, its claims.
func (v *Verifier) check(token string, now time.Time) (Claims, error) {
	signed, parts, err := split(token)
	if err != nil {
		return Claims{}, err
	}
	h, err := parseHeader(parts[0])
	if err != nil {
		return Claims{}, err
	}
	k, ok := v.keys[h.keyID]
	if !ok {
		return Claims{}, errKey
	}
	if h.algorithm != k.Algorithm() {
		return Claims{}, errAlgorithm
	}
	if k.method.Verify(signed, parts[2], k.verify) != nil {
		return Claims{}, errSignature
	}
	return v.parseClaims(parts[1], now)
}

// Stats returns the counts so far.
func (v *Verifier) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.stats
	s.Entries = len(v.remembered.claims)
	return s
}

// digest names a token without holding it: whoever reads our memory finds no
// token to use.
type digest [sha256.Size]byte

// memory holds the claims of tokens that held. The oldest makes room for a new
// one, whether it has expired or not: tokens are given out for about the same
// time each, so the oldest is the first to expire.
type memory struct {
	max    int
	claims map[digest]Claims
	order  []digest // a ring, from next on, once there are max
	next   int
}

// add remembers a token.
func (m *memory) add(id digest, c Claims) {
	if _, known := m.claims[id]; known { // checked twice at once
		return
	}
	m.claims[id] = c
	if len(m.order) < m.max {
		m.order = append(m.order, id)
		return
	}
	delete(m.claims, m.order[m.next])
	m.order[m.next] = id
	m.next = (m.next + 1) % m.max
}
