package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parleychat/parley"
)

// Claims are what a token says.
type Claims struct {
	Tenant  parley.TenantID
	Subject string // 1 to 128 bytes of UTF-8 without control characters
	Expires time.Time
}

// The limits of a token.
const (
	tokenMax   = 8 << 10
	subjectMax = 128
	// leeway is how far the clock of who issued a token may be ahead of ours.
	leeway = 30 * time.Second
	// expiresMax is the end of the year 9999, in seconds.
	expiresMax = 253402300799
)

// refused is why a token is not believed. The reasons are for an operator's
// log and are all constant: nothing of a token gets into them.
func refused(reason string) error { return fmt.Errorf("auth: %w: %s", parley.BadToken, reason) }

var (
	errSize      = refused("it is empty or longer than 8 KiB")
	errForm      = refused("it is not three parts in base64url")
	errJSON      = refused("it holds JSON that is broken or has a member twice")
	errHeader    = refused("its header has not exactly alg, typ and kid, as strings")
	errType      = refused("its typ is neither JWT nor at+jwt")
	errKey       = refused("its kid is of no key here")
	errAlgorithm = refused("its alg is not that of its key")
	errSignature = refused("its signature does not hold")
	errExpires   = refused("its exp is missing or not a time")
	errExpired   = refused("it has expired")
	errTimes     = refused("its iat or nbf is not a time")
	errEarly     = refused("its iat or nbf lies ahead")
	errIssuer    = refused("its iss is not the one configured")
	errAudience  = refused("its aud does not name us")
	errSubject   = refused("its sub is missing or not 1 to 128 bytes of plain text")
	errTenant    = refused("its tenant is not a number of 32 bits")
)

// split cuts a token into its three parts: that which is signed, and the
// decoded header, claims and signature.
func split(token string) (signed string, parts [3][]byte, err error) {
	if token == "" || len(token) > tokenMax {
		return "", parts, errSize
	}
	rest := token
	for i := range parts {
		part, after, found := strings.Cut(rest, ".")
		if found != (i < 2) || part == "" {
			return "", parts, errForm
		}
		if parts[i], err = decode(part); err != nil {
			return "", parts, errForm
		}
		rest = after
	}
	return token[:strings.LastIndexByte(token, '.')], parts, nil
}

// header is what a token says of itself.
type header struct{ algorithm, keyID string }

// parseHeader takes the three members that we understand and no other. So crit,
// b64, zip, jku, jwk, x5u, x5c and whatever comes after them is refused without
// being named.
func parseHeader(text []byte) (header, error) {
	members, err := parseObject(text)
	if err != nil {
		return header{}, errJSON
	}
	algorithm, isAlgorithm := members["alg"].(string)
	typ, isType := members["typ"].(string)
	keyID, isKeyID := members["kid"].(string)
	if len(members) != 3 || !isAlgorithm || !isType || !isKeyID {
		return header{}, errHeader
	}
	if !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt") {
		return header{}, errType
	}
	return header{algorithm, keyID}, nil
}

// parseClaims reads the claims of a token whose signature holds.
func (v *Verifier) parseClaims(text []byte, now time.Time) (Claims, error) {
	members, err := parseObject(text)
	if err != nil {
		return Claims{}, errJSON
	}
	expires, err := v.checkTimes(members, now)
	if err != nil {
		return Claims{}, err
	}
	if v.issuer != "" && members["iss"] != v.issuer {
		return Claims{}, errIssuer
	}
	if !v.audienceFits(members) {
		return Claims{}, errAudience
	}
	subject, ok := members["sub"].(string)
	if !ok || !validSubject(subject) {
		return Claims{}, errSubject
	}
	tenant, err := tenantOf(members)
	if err != nil {
		return Claims{}, err
	}
	return Claims{Tenant: tenant, Subject: subject, Expires: expires}, nil
}

func (v *Verifier) checkTimes(members map[string]any, now time.Time) (expires time.Time, err error) {
	expires, ok := numericDate(members["exp"])
	if !ok {
		return expires, errExpires
	}
	if !now.Before(expires) {
		return expires, errExpired
	}
	for _, name := range []string{"iat", "nbf"} {
		claim, present := members[name]
		if !present {
			continue
		}
		at, ok := numericDate(claim)
		if !ok {
			return expires, errTimes
		}
		if at.After(now.Add(leeway)) {
			return expires, errEarly
		}
	}
	return expires, nil
}

// audienceFits follows RFC 7519: a token that names audiences is only for them,
// also where none is configured.
func (v *Verifier) audienceFits(members map[string]any) bool {
	claim, present := members["aud"]
	if !present {
		return v.audience == ""
	}
	if v.audience == "" {
		return false
	}
	if list, ok := claim.([]any); ok {
		return slices.Contains(list, any(v.audience))
	}
	return claim == v.audience
}

// numericDate reads a number of seconds since 1970; a part of a second is cut.
func numericDate(claim any) (time.Time, bool) {
	number, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || seconds < 0 || seconds > expiresMax {
		return time.Time{}, false
	}
	return time.Unix(int64(math.Floor(seconds)), 0), true
}

func tenantOf(members map[string]any) (parley.TenantID, error) {
	claim, present := members["tenant"]
	if !present {
		return parley.DefaultTenant, nil
	}
	number, ok := claim.(json.Number)
	if !ok {
		return 0, errTenant
	}
	tenant, err := strconv.ParseUint(number.String(), 10, 32)
	if err != nil {
		return 0, errTenant
	}
	return parley.TenantID(tenant), nil
}

// validSubject refuses control characters and line ends, which have no place in
// a name and forge lines in logs; and U+FFFD, which is what a JSON decoder makes
// of broken text, so that two subjects could become one.
func validSubject(s string) bool {
	if s == "" || len(s) > subjectMax || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == utf8.RuneError || c == '\u2028' || c == '\u2029' {
			return false
		}
	}
	return true
}

// Sign makes a token. The key must have its secret half, and the claims must be
// such as Verify accepts. Each token has a jti of its own, so that no two are the
// same: a user who shuts one out keeps the others.
func Sign(k *Key, c Claims) (string, error) { return signAs(k, c, rand.Text()) }

// signAs makes the token of an id; none is "".
func signAs(k *Key, c Claims, id string) (string, error) {
	if k.sign == nil {
		return "", fmt.Errorf("auth: sign: %v has no secret half", k)
	}
	if !validSubject(c.Subject) {
		return "", errors.New("auth: sign: the subject is not 1 to 128 bytes of plain text")
	}
	if c.Expires.Unix() <= 0 || c.Expires.Unix() > expiresMax {
		return "", errors.New("auth: sign: the claims do not expire")
	}
	members := map[string]any{"sub": c.Subject, "exp": c.Expires.Unix()}
	if id != "" {
		members["jti"] = id
	}
	if c.Tenant != parley.DefaultTenant {
		members["tenant"] = c.Tenant
	}
	head, err := encode(map[string]any{"alg": k.Algorithm(), "typ": "JWT", "kid": k.id})
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	body, err := encode(members)
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	signed := head + "." + body
	signature, err := k.method.Sign(signed, k.sign)
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	return signed + "." + base64url.EncodeToString(signature), nil
}

func encode(members map[string]any) (string, error) {
	text, err := json.Marshal(members)
	return base64url.EncodeToString(text), err
}
