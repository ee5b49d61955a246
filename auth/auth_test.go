package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/parleychat/parley"
)

// testNow is the clock of the tests.
var testNow = time.Unix(1_800_000_000, 0)

const testKeys = "testdata/keys.json"

func open(t testing.TB, o Options) *Verifier {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return testNow }
	}
	v, err := Open(testKeys, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keys are those of the test file: EdDSA, then HS256.
func keys(t testing.TB) (eddsa, hs256 *Key) {
	t.Helper()
	all, err := LoadKeys(testKeys)
	if err != nil {
		t.Fatal(err)
	}
	return all[0], all[1]
}

// token signs any header and any claims.
func token(t testing.TB, k *Key, header, claims string) string {
	t.Helper()
	return sign(t, k, base64url.EncodeToString([]byte(header))+"."+base64url.EncodeToString([]byte(claims)))
}

func sign(t testing.TB, k *Key, signed string) string {
	t.Helper()
	signature, err := k.method.Sign(signed, k.sign)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64url.EncodeToString(signature)
}

const (
	goodHeader = `{"alg":"HS256","typ":"JWT","kid":"backend"}`
	goodClaims = `{"sub":"ann","exp":1800003600}`
)

// What Sign wrote once, a later version accepts, and other programs too.
func TestGoldenTokens(t *testing.T) {
	eddsa, hs256 := keys(t)
	for name, c := range map[string]struct {
		key    *Key
		claims Claims
		want   string
	}{
		"EdDSA": {
			eddsa, Claims{Tenant: 7, Subject: "ann@example.org", Expires: time.Unix(1800003600, 0)},
			"eyJhbGciOiJFZERTQSIsImtpZCI6ImxvZ2luLTIwMjYiLCJ0eXAiOiJKV1QifQ." +
				"eyJleHAiOjE4MDAwMDM2MDAsInN1YiI6ImFubkBleGFtcGxlLm9yZyIsInRlbmFudCI6N30." +
				"M1iGNy7gRf7laF4azNx6-6oOm1JuLmtGf_SU42kuI3PromU-0AzItGHRwf9oTxqAF5NCEVWLQb5taI8Q1kCKCg",
		},
		"HS256": {
			hs256, Claims{Subject: "ann", Expires: time.Unix(1800003600, 0)},
			"eyJhbGciOiJIUzI1NiIsImtpZCI6ImJhY2tlbmQiLCJ0eXAiOiJKV1QifQ." +
				"eyJleHAiOjE4MDAwMDM2MDAsInN1YiI6ImFubiJ9." +
				"RC7mfmyITl9ERrO9dcBxn3zxhaWpW5YJPHcW0KgPk48",
		},
	} {
		got, err := signAs(c.key, c.claims, "")
		if err != nil || got != c.want {
			t.Errorf("%s: signed %s, %v; want %s", name, got, err, c.want)
		}
		if claims, err := open(t, Options{}).Verify(c.want); err != nil || claims != c.claims {
			t.Errorf("%s: %+v, %v; want %+v", name, claims, err, c.claims)
		}
	}
}

// Two logins of one second are two tokens.
func TestEveryTokenIsAnother(t *testing.T) {
	_, hs256 := keys(t)
	claims := Claims{Subject: "ann", Expires: testNow.Add(time.Hour)}
	first, err := Sign(hs256, claims)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Sign(hs256, claims); err != nil || second == first {
		t.Errorf("signed the same twice: %v", err)
	}
	if got, err := open(t, Options{}).Verify(first); err != nil || got != claims {
		t.Errorf("%+v, %v; want %+v", got, err, claims)
	}
}

// The examples of RFC 7515, appendix A.1, and RFC 8037, appendix A.4; the keys
// of the test file are theirs.
func TestSignaturesOfTheRFCs(t *testing.T) {
	eddsa, hs256 := keys(t)
	for name, c := range map[string]struct {
		key   *Key
		token string
	}{
		"HS256": {hs256, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." +
			"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
			"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
		"EdDSA": {eddsa, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
	} {
		signed, parts, err := split(c.token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.key.method.Verify(signed, parts[2], c.key.verify); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := sign(t, c.key, signed); got != c.token {
			t.Errorf("%s: signed %s, want %s", name, got, c.token)
		}
	}
}

func TestAcceptedTokens(t *testing.T) {
	eddsa, hs256 := keys(t)
	const eddsaHeader = `{"alg":"EdDSA","typ":"JWT","kid":"login-2026"}`
	ann := Claims{Subject: "ann", Expires: testNow.Add(time.Hour)}
	for name, c := range map[string]struct {
		key            *Key
		header, claims string
		want           Claims
	}{
		"plain":                  {hs256, goodHeader, goodClaims, ann},
		"EdDSA":                  {eddsa, eddsaHeader, goodClaims, ann},
		"an access token":        {hs256, `{"alg":"HS256","typ":"at+jwt","kid":"backend"}`, goodClaims, ann},
		"typ in small letters":   {hs256, `{"alg":"HS256","typ":"jwt","kid":"backend"}`, goodClaims, ann},
		"spaces in the JSON":     {hs256, " { \"kid\" : \"backend\",\n\"typ\":\"JWT\",\"alg\":\"HS256\"}\n", "\t" + goodClaims + " ", ann},
		"claims of others":       {hs256, goodHeader, `{"sub":"ann","exp":1800003600,"jti":"1","scope":["a",{"b":null}],"SUB":"bob"}`, ann},
		"a part of a second":     {hs256, goodHeader, `{"sub":"ann","exp":1800003600.75}`, ann},
		"an exponent":            {hs256, goodHeader, `{"sub":"ann","exp":18000036e2}`, ann},
		"the last second":        {hs256, goodHeader, `{"sub":"ann","exp":1800000001}`, Claims{Subject: "ann", Expires: testNow.Add(time.Second)}},
		"a clock ahead a little": {hs256, goodHeader, `{"sub":"ann","exp":1800003600,"iat":1800000030,"nbf":1800000030}`, ann},
		"a tenant":               {hs256, goodHeader, `{"sub":"ann","exp":1800003600,"tenant":4294967295}`, Claims{4294967295, "ann", ann.Expires}},
		"tenant 0":               {hs256, goodHeader, `{"sub":"ann","exp":1800003600,"tenant":0}`, ann},
		"128 bytes of subject":   {hs256, goodHeader, `{"sub":"` + strings.Repeat("é", 64) + `","exp":1800003600}`, Claims{0, strings.Repeat("é", 64), ann.Expires}},
		"a subject in escapes":   {hs256, goodHeader, `{"sub":"\u0061nn \ud83d\udc4b","exp":1800003600}`, Claims{0, "ann 👋", ann.Expires}},
	} {
		if got, err := open(t, Options{}).Verify(token(t, c.key, c.header, c.claims)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	o := Options{Issuer: "https://login.example", Audience: "chat"}
	for _, aud := range []string{`"chat"`, `["shop","chat"]`} {
		claims := `{"sub":"ann","exp":1800003600,"iss":"https://login.example","aud":` + aud + `}`
		if got, err := open(t, o).Verify(token(t, hs256, goodHeader, claims)); err != nil || got != ann {
			t.Errorf("aud %s: %+v, %v", aud, got, err)
		}
	}
	// 8 KiB is the limit, not one less.
	claims := `{"sub":"ann","exp":1800003600,"pad":"` + strings.Repeat("x", 6000) + `"}`
	long := token(t, hs256, goodHeader, claims)
	claims = strings.Replace(claims, "xx", strings.Repeat("x", 2+(tokenMax-len(long))*3/4), 1)
	if long = token(t, hs256, goodHeader, claims); len(long) > tokenMax || len(long) < tokenMax-2 {
		t.Fatalf("%d bytes", len(long))
	}
	if got, err := open(t, Options{}).Verify(long); err != nil || got != ann {
		t.Errorf("%d bytes: %+v, %v", len(long), got, err)
	}
}

// refusesAll checks that each token is refused for its reason, that the error
// says nothing of the token, and that nothing of it is remembered.
func refusesAll(t *testing.T, v *Verifier, want error, tokens map[string]string) {
	t.Helper()
	for name, tok := range tokens {
		got, err := v.Verify(tok)
		if !errors.Is(err, parley.BadToken) || !errors.Is(err, want) || got != (Claims{}) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, want)
			continue
		}
		for part := range strings.SplitSeq(tok, ".") {
			if len(part) >= 4 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error %q holds a part of the token", name, err)
			}
		}
	}
	if s := v.Stats(); s.Refused != uint64(len(tokens)) || s.Entries != 0 || s.Checked+s.Remembered != 0 {
		t.Errorf("%+v after %d refused tokens", s, len(tokens))
	}
}

func TestHostileForms(t *testing.T) {
	_, hs256 := keys(t)
	good := token(t, hs256, goodHeader, goodClaims)
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	refusesAll(t, open(t, Options{}), errSize, map[string]string{
		"nothing":          "",
		"over 8 KiB":       token(t, hs256, goodHeader, `{"sub":"ann","exp":1800003600,"pad":"`+strings.Repeat("x", tokenMax)+`"}`),
		"8 KiB and a byte": strings.Repeat("a", tokenMax+1),
		"a megabyte":       strings.Repeat("a.", 1<<19),
	})
	refusesAll(t, open(t, Options{}), errForm, map[string]string{
		"one part":                    head,
		"two parts":                   head + "." + body,
		"two parts and a dot":         head + "." + body + ".",
		"four parts":                  good + "." + signature,
		"five parts":                  good + "." + body + "." + signature,
		"a dot behind":                good + ".",
		"a dot before":                "." + good,
		"only dots":                   "..",
		"no header":                   "." + body + "." + signature,
		"no claims":                   head + ".." + signature,
		"a space before":              " " + good,
		"a space behind":              good + " ",
		"a line end behind":           good + "\n",
		"a line end inside":           head + "." + body[:4] + "\n" + body[4:] + "." + signature,
		"a carriage return inside":    head + "." + body[:4] + "\r" + body[4:] + "." + signature,
		"a line end in the signature": good[:len(good)-4] + "\n" + good[len(good)-4:],
		"a tab inside":                head + "\t." + body + "." + signature,
		"a NUL behind":                good + "\x00",
		"Bearer before":               "Bearer " + good,
		"padding of the signature":    good + "=",
		"padding of the header":       head + "==." + body + "." + signature,
		"padding of the claims":       head + "." + body + "=." + signature,
		"a plus":                      head + "." + body + ".+" + signature[1:],
		"a slash":                     head + "." + body + "./" + signature[1:],
		"a percent":                   head + "%2E" + body + "%2E" + signature,
		"letters beyond ASCII":        head + "." + body + ".é" + signature[1:],
		"not UTF-8":                   head + "." + body + ".\xff" + signature[1:],
		"bits behind the signature":   good[:len(good)-1] + string(good[len(good)-1]+1),
		"a single letter":             head + "." + body + ".A",
		"JSON serialization":          `{"protected":"` + head + `","payload":"` + body + `","signature":"` + signature + `"}`,
	})
	// Other spellings of the same claims are refused, or two tokens would have one
	// signature: the last letter of 2 has 4 bits that mean nothing.
	claims := base64url.EncodeToString([]byte(`{"sub":"ann","exp":18000036000}`)) // 31 bytes: 2 bytes over
	refusesAll(t, open(t, Options{}), errForm, map[string]string{
		"bits behind the claims": sign(t, hs256, head+"."+claims[:len(claims)-1]+string(claims[len(claims)-1]+1)),
	})
}

func TestHostileHeaders(t *testing.T) {
	eddsa, hs256 := keys(t)
	headers := func(all map[string]string) map[string]string {
		tokens := make(map[string]string, len(all))
		for name, header := range all {
			tokens[name] = token(t, hs256, header, goodClaims)
		}
		return tokens
	}
	with := func(member string) string { return strings.Replace(goodHeader, "}", ","+member+"}", 1) }

	refusesAll(t, open(t, Options{}), errJSON, headers(map[string]string{
		"not JSON":              `hello`,
		"torn":                  `{"alg":"HS256"`,
		"a list":                `[` + goodHeader + `]`,
		"a string":              `"HS256"`,
		"null":                  `null`,
		"two objects":           goodHeader + goodHeader,
		"rubbish behind":        goodHeader + "x",
		"a byte order mark":     "\ufeff" + goodHeader,
		"a comment":             `{/**/"alg":"HS256","typ":"JWT","kid":"backend"}`,
		"a comma too many":      `{"alg":"HS256","typ":"JWT","kid":"backend",}`,
		"not UTF-8":             "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"backend\xff\"}",
		"alg twice":             with(`"alg":"HS256"`),
		"alg twice, then none":  with(`"alg":"none"`),
		"alg twice, none first": `{"alg":"none",` + goodHeader[1:],
		"alg twice, in escapes": with(`"\u0061lg":"HS256"`),
		"kid twice":             with(`"kid":"login-2026"`),
		"typ twice":             with(`"typ":"JWT"`),
		"nested twice":          with(`"new":{"a":1,"a":1}`),
		"nested deep":           with(`"new":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)),
	}))
	refusesAll(t, open(t, Options{}), errHeader, headers(map[string]string{
		"empty":                `{}`,
		"no alg":               `{"typ":"JWT","kid":"backend"}`,
		"no typ":               `{"alg":"HS256","kid":"backend"}`,
		"no kid":               `{"alg":"HS256","typ":"JWT"}`,
		"alg a number":         `{"alg":256,"typ":"JWT","kid":"backend"}`,
		"alg a list":           `{"alg":["HS256"],"typ":"JWT","kid":"backend"}`,
		"alg null":             `{"alg":null,"typ":"JWT","kid":"backend"}`,
		"ALG":                  `{"ALG":"HS256","typ":"JWT","kid":"backend"}`,
		"kid a number":         `{"alg":"HS256","typ":"JWT","kid":1}`,
		"kid a list":           `{"alg":"HS256","typ":"JWT","kid":["backend"]}`,
		"typ a number":         `{"alg":"HS256","typ":1,"kid":"backend"}`,
		"crit of nothing":      with(`"crit":[]`),
		"crit of exp":          with(`"crit":["exp"]`),
		"crit of an extension": with(`"crit":["http://example.org/x"],"http://example.org/x":true`),
		"b64 false":            with(`"b64":false`),
		"b64 false and crit":   with(`"b64":false,"crit":["b64"]`),
		"b64 true":             with(`"b64":true`),
		"zip":                  with(`"zip":"DEF"`),
		"jku":                  with(`"jku":"https://evil.example/keys.json"`),
		"jwk":                  with(`"jwk":{"kty":"oct","k":"AA"}`),
		"x5u":                  with(`"x5u":"https://evil.example/cert"`),
		"x5c":                  with(`"x5c":["MII"]`),
		"x5t":                  with(`"x5t":"AA"`),
		"cty":                  with(`"cty":"JWT"`),
		"enc":                  with(`"enc":"A128GCM"`),
		"a member of tomorrow": with(`"new":1`),
		"Alg besides":          with(`"Alg":"none"`),
	}))
	refusesAll(t, open(t, Options{}), errType, headers(map[string]string{
		"typ empty":       `{"alg":"HS256","typ":"","kid":"backend"}`,
		"typ JWE":         `{"alg":"HS256","typ":"JWE","kid":"backend"}`,
		"typ of logout":   `{"alg":"HS256","typ":"logout+jwt","kid":"backend"}`,
		"typ of DPoP":     `{"alg":"HS256","typ":"dpop+jwt","kid":"backend"}`,
		"typ and a space": `{"alg":"HS256","typ":"JWT ","kid":"backend"}`,
	}))
	refusesAll(t, open(t, Options{}), errKey, headers(map[string]string{
		"kid empty":      `{"alg":"HS256","typ":"JWT","kid":""}`,
		"kid unknown":    `{"alg":"HS256","typ":"JWT","kid":"other"}`,
		"kid a path":     `{"alg":"HS256","typ":"JWT","kid":"../../../dev/null"}`,
		"kid an attempt": `{"alg":"HS256","typ":"JWT","kid":"x' UNION SELECT 'k"}`,
		"kid and NUL":    `{"alg":"HS256","typ":"JWT","kid":"backend\u0000"}`,
		"KID":            `{"alg":"HS256","typ":"JWT","kid":"Backend"}`,
		"kid a URL":      `{"alg":"HS256","typ":"JWT","kid":"https://evil.example/k"}`,
	}))
	algorithms := make(map[string]string)
	for _, alg := range []string{
		"none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256\\u0000",
	} {
		algorithms["alg "+alg] = token(t, hs256, `{"alg":"`+alg+`","typ":"JWT","kid":"backend"}`, goodClaims)
	}
	// The public half of an EdDSA key is no secret: nobody gets in with it as one.
	public := []byte(eddsa.verify.(ed25519.PublicKey))
	confused := &Key{method: jwt.SigningMethodHS256, sign: public}
	algorithms["HS256 by a public key"] = token(t, confused, `{"alg":"HS256","typ":"JWT","kid":"login-2026"}`, goodClaims)
	algorithms["EdDSA said of an HS256 key"] = token(t, eddsa, `{"alg":"EdDSA","typ":"JWT","kid":"backend"}`, goodClaims)
	refusesAll(t, open(t, Options{}), errAlgorithm, algorithms)
}

func TestHostileSignatures(t *testing.T) {
	eddsa, hs256 := keys(t)
	const eddsaHeader = `{"alg":"EdDSA","typ":"JWT","kid":"login-2026"}`
	good, goodEd := token(t, hs256, goodHeader, goodClaims), token(t, eddsa, eddsaHeader, goodClaims)
	cut := func(tok string) (signed string, signature []byte) {
		signed, parts, err := split(tok)
		if err != nil {
			t.Fatal(err)
		}
		return signed, parts[2]
	}
	signed, mac := cut(good)
	signedEd, sig := cut(goodEd)
	with := func(signed string, signature []byte) string {
		return signed + "." + base64url.EncodeToString(signature)
	}
	flip := func(b []byte, i int) []byte { b = bytes.Clone(b); b[i] ^= 1; return b }
	other := base64url.EncodeToString([]byte(`{"sub":"bob","exp":1800003600}`))
	otherKey := &Key{method: jwt.SigningMethodHS256, sign: make([]byte, 32)}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	otherEd := &Key{method: jwt.SigningMethodEdDSA, sign: private}
	tokens := map[string]string{
		"one bit of the MAC":          with(signed, flip(mac, 31)),
		"MAC cut":                     with(signed, mac[:31]),
		"MAC cut to a byte":           with(signed, mac[:1]),
		"MAC and a byte":              with(signed, append(bytes.Clone(mac), 0)),
		"MAC twice":                   with(signed, append(bytes.Clone(mac), mac...)),
		"MAC of zeros":                with(signed, make([]byte, 32)),
		"MAC of another key":          token(t, otherKey, goodHeader, goodClaims),
		"MAC with SHA-512":            token(t, &Key{method: jwt.SigningMethodHS512, sign: hs256.sign}, goodHeader, goodClaims),
		"MAC of other claims":         with(signed[:strings.IndexByte(signed, '.')+1]+other, mac),
		"MAC in hexadecimal":          with(signed, []byte(hex.EncodeToString(mac))),
		"EdDSA: one bit":              with(signedEd, flip(sig, 0)),
		"EdDSA: one bit of S":         with(signedEd, flip(sig, 40)),
		"EdDSA: cut":                  with(signedEd, sig[:63]),
		"EdDSA: and a byte":           with(signedEd, append(bytes.Clone(sig), 0)),
		"EdDSA: zeros":                with(signedEd, make([]byte, 64)),
		"EdDSA: S and the group":      with(signedEd, addOrder(sig)),
		"EdDSA: another key":          token(t, otherEd, eddsaHeader, goodClaims),
		"EdDSA: other claims":         with(signedEd[:strings.IndexByte(signedEd, '.')+1]+other, sig),
		"EdDSA: the MAC":              with(signedEd, mac),
		"EdDSA said, HS256 by public": token(t, &Key{method: jwt.SigningMethodHS256, sign: []byte(eddsa.verify.(ed25519.PublicKey))}, eddsaHeader, goodClaims),
	}
	for name, header := range map[string]string{"other header": `{"kid":"backend","alg":"HS256","typ":"JWT"}`} {
		tokens[name] = with(base64url.EncodeToString([]byte(header))+signed[strings.IndexByte(signed, '.'):], mac)
	}
	refusesAll(t, open(t, Options{}), errSignature, tokens)
}

// addOrder adds the order of the group to a signature's S, which is another
// spelling of the same signature.
func addOrder(sig []byte) []byte {
	order := []byte{
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10,
	}
	sig = bytes.Clone(sig)
	carry := 0
	for i, b := range order {
		carry += int(sig[32+i]) + int(b)
		sig[32+i] = byte(carry)
		carry >>= 8
	}
	return sig
}

func TestHostileClaims(t *testing.T) {
	_, hs256 := keys(t)
	signed := func(all map[string]string) map[string]string {
		tokens := make(map[string]string, len(all))
		for name, claims := range all {
			tokens[name] = token(t, hs256, goodHeader, claims)
		}
		return tokens
	}
	with := func(member string) string { return strings.Replace(goodClaims, "}", ","+member+"}", 1) }
	exp := func(value string) string { return `{"sub":"ann","exp":` + value + `}` }
	sub := func(value string) string { return `{"sub":` + value + `,"exp":1800003600}` }

	refusesAll(t, open(t, Options{}), errJSON, signed(map[string]string{
		"not JSON":               `hello`,
		"torn":                   goodClaims[:10],
		"a list":                 `[` + goodClaims + `]`,
		"null":                   `null`,
		"two objects":            goodClaims + `{"sub":"bob"}`,
		"not UTF-8":              sub("\"a\xff\""),
		"sub twice":              with(`"sub":"bob"`),
		"sub twice, the same":    with(`"sub":"ann"`),
		"sub twice, in escapes":  with(`"s\u0075b":"bob"`),
		"exp twice":              with(`"exp":9999999999`),
		"tenant twice":           with(`"tenant":1,"tenant":2`),
		"twice in an object":     with(`"x":{"y":{"a":1,"a":2}}`),
		"twice in a list":        with(`"x":[1,[{"a":1,"a":2}]]`),
		"nested deep":            with(`"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000)),
		"objects nested deep":    with(`"x":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)),
		"NaN":                    exp("NaN"),
		"a hexadecimal number":   exp("0x7fffffff"),
		"a number from a zero":   exp("01800003600"),
		"a number with a plus":   exp("+1800003600"),
		"single quotes":          `{'sub':'ann','exp':1800003600}`,
		"a control character":    sub("\"a\x01b\""),
		"a line end in a string": sub("\"a\nb\""),
	}))
	refusesAll(t, open(t, Options{}), errExpires, signed(map[string]string{
		"no exp":              `{"sub":"ann"}`,
		"Exp":                 `{"sub":"ann","Exp":1800003600}`,
		"exp null":            exp(`null`),
		"exp a string":        exp(`"1800003600"`),
		"exp a date":          exp(`"2099-01-01T00:00:00Z"`),
		"exp true":            exp(`true`),
		"exp a list":          exp(`[1800003600]`),
		"exp an object":       exp(`{}`),
		"exp negative":        exp(`-1`),
		"exp in milliseconds": exp(`1800003600000`),
		"exp for ever":        exp(`1e300`),
		"exp past a float":    exp(`1e400`),
	}))
	refusesAll(t, open(t, Options{}), errExpired, signed(map[string]string{
		"exp 0":                 exp(`0`),
		"exp an hour ago":       exp(`1799996400`),
		"exp now":               exp(`1800000000`),
		"exp a second ago":      exp(`1799999999`),
		"exp in this second":    exp(`1800000000.9`),
		"exp almost nothing":    exp(`1e-300`),
		"exp long ago, in part": exp(`1e3`),
	}))
	refusesAll(t, open(t, Options{}), errTimes, signed(map[string]string{
		"nbf a string": with(`"nbf":"1700000000"`),
		"nbf null":     with(`"nbf":null`),
		"nbf negative": with(`"nbf":-1`),
		"iat a string": with(`"iat":"1700000000"`),
		"iat true":     with(`"iat":true`),
		"iat huge":     with(`"iat":1e300`),
	}))
	refusesAll(t, open(t, Options{}), errEarly, signed(map[string]string{
		"nbf in an hour":  with(`"nbf":1800003599`),
		"nbf past leeway": with(`"nbf":1800000031`),
		"iat in an hour":  with(`"iat":1800003599`),
		"iat past leeway": with(`"iat":1800000031`),
		"nbf in 9999":     with(`"iat":1700000000,"nbf":253402300799`),
	}))
	long := strings.Repeat("x", subjectMax+1)
	refusesAll(t, open(t, Options{}), errSubject, signed(map[string]string{
		"no sub":             `{"exp":1800003600}`,
		"Sub":                `{"Sub":"ann","exp":1800003600}`,
		"sub empty":          sub(`""`),
		"sub null":           sub(`null`),
		"sub a number":       sub(`7`),
		"sub true":           sub(`true`),
		"sub a list":         sub(`["ann"]`),
		"sub an object":      sub(`{"id":"ann"}`),
		"sub of 129 bytes":   sub(`"` + long + `"`),
		"sub of 65 letters":  sub(`"` + strings.Repeat("é", 65) + `"`),
		"sub and NUL":        sub(`"ann\u0000"`),
		"sub and a line end": sub(`"ann\nlevel=error"`),
		"sub and CR":         sub(`"ann\r"`),
		"sub and a tab":      sub(`"a\tb"`),
		"sub and ESC":        sub(`"\u001b[2J"`),
		"sub and DEL":        sub(`"ann\u007f"`),
		"sub and NEL":        sub(`"ann\u0085"`),
		"sub and U+2028":     sub(`"ann\u2028"`),
		"sub and U+2029":     sub(`"ann\u2029"`),
		"half a surrogate":   sub(`"ann\ud800"`),
		"the other half":     sub(`"ann\udc00"`),
		"U+FFFD":             sub(`"ann\ufffd"`),
	}))
	refusesAll(t, open(t, Options{}), errTenant, signed(map[string]string{
		"tenant null":        with(`"tenant":null`),
		"tenant a string":    with(`"tenant":"1"`),
		"tenant empty":       with(`"tenant":""`),
		"tenant true":        with(`"tenant":true`),
		"tenant a list":      with(`"tenant":[1]`),
		"tenant negative":    with(`"tenant":-1`),
		"tenant minus 0":     with(`"tenant":-0`),
		"tenant a fraction":  with(`"tenant":1.0`),
		"tenant an exponent": with(`"tenant":1e2`),
		"tenant of 33 bits":  with(`"tenant":4294967296`),
		"tenant of 65 bits":  with(`"tenant":18446744073709551617`),
	}))
}

func TestHostileIssuersAndAudiences(t *testing.T) {
	_, hs256 := keys(t)
	signed := func(member string, values ...string) map[string]string {
		tokens := map[string]string{member + " missing": token(t, hs256, goodHeader, goodClaims)}
		for _, value := range values {
			claims := strings.Replace(goodClaims, "}", `,"`+member+`":`+value+"}", 1)
			tokens[member+" "+value] = token(t, hs256, goodHeader, claims)
		}
		return tokens
	}
	refusesAll(t, open(t, Options{Issuer: "login"}), errIssuer,
		signed("iss", `"other"`, `"Login"`, `"login "`, `""`, `null`, `7`, `["login"]`, `{}`))
	refusesAll(t, open(t, Options{Audience: "chat"}), errAudience,
		signed("aud", `"other"`, `"Chat"`, `"chat "`, `"chat.example"`, `""`, `null`, `7`, `[]`, `["other"]`, `[["chat"]]`, `[null]`, `{"chat":1}`))
	// A token for somebody else is not for us because we have no name.
	tokens := signed("aud", `"other"`, `["other"]`, `null`, `[]`)
	delete(tokens, "aud missing")
	refusesAll(t, open(t, Options{}), errAudience, tokens)
}

// A token that held is not checked again until it expires, and what was refused
// is checked each time.
func TestTokensAreRemembered(t *testing.T) {
	now := testNow
	v := open(t, Options{Now: func() time.Time { return now }})
	eddsa, _ := keys(t)
	tok, err := Sign(eddsa, Claims{Subject: "ann", Expires: testNow.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c, err := v.Verify(tok); err != nil || c.Subject != "ann" {
			t.Fatal(c, err)
		}
	}
	if s := v.Stats(); s != (Stats{Checked: 1, Remembered: 2, Entries: 1}) {
		t.Errorf("%+v", s)
	}
	now = testNow.Add(time.Minute)
	for range 2 {
		if _, err := v.Verify(tok); !errors.Is(err, errExpired) {
			t.Errorf("a remembered token outlived its exp: %v", err)
		}
	}
	if s := v.Stats(); s.Refused != 2 || s.Remembered != 2 {
		t.Errorf("%+v", s)
	}
}

// Memory has a bound; the oldest goes.
func TestMemoryIsBounded(t *testing.T) {
	const most = 10
	v := open(t, Options{RememberedMax: most})
	_, hs256 := keys(t)
	var tokens []string
	for i := range 25 {
		tok, err := Sign(hs256, Claims{Subject: fmt.Sprint("user", i), Expires: testNow.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, tok)
		if _, err := v.Verify(tok); err != nil {
			t.Fatal(err)
		}
		if n := v.Stats().Entries; n != min(i+1, most) {
			t.Fatalf("%d entries after %d tokens", n, i+1)
		}
	}
	for _, tok := range tokens[25-most:] {
		if _, err := v.Verify(tok); err != nil {
			t.Fatal(err)
		}
	}
	if s := v.Stats(); s.Checked != 25 || s.Remembered != most || len(v.remembered.order) != most {
		t.Errorf("%+v; the newest %d were not remembered", s, most)
	}
	if _, err := v.Verify(tokens[0]); err != nil || v.Stats().Checked != 26 {
		t.Errorf("%v; the oldest was still remembered", err)
	}
}

func TestVerifyAtOnce(t *testing.T) {
	v := open(t, Options{RememberedMax: 5})
	_, hs256 := keys(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				subject := fmt.Sprint("user", (i+g)%10)
				tok, err := Sign(hs256, Claims{Subject: subject, Expires: testNow.Add(time.Hour)})
				if err != nil {
					t.Error(err)
					return
				}
				if c, err := v.Verify(tok); err != nil || c.Subject != subject {
					t.Errorf("%+v, %v; want %s", c, err, subject)
				}
			}
		})
	}
	wg.Wait()
	if s := v.Stats(); s.Checked+s.Remembered != 1600 || s.Entries != 5 || len(v.remembered.order) != 5 {
		t.Errorf("%+v", s)
	}
}

func TestSignRefuses(t *testing.T) {
	eddsa, hs256 := keys(t)
	public := &Key{id: "p", method: eddsa.method, verify: eddsa.verify}
	expires := testNow.Add(time.Hour)
	for name, c := range map[string]struct {
		key    *Key
		claims Claims
	}{
		"a public key":     {public, Claims{Subject: "ann", Expires: expires}},
		"no subject":       {hs256, Claims{Expires: expires}},
		"a long subject":   {hs256, Claims{Subject: strings.Repeat("x", 129), Expires: expires}},
		"a broken subject": {hs256, Claims{Subject: "a\xff", Expires: expires}},
		"a line":           {hs256, Claims{Subject: "a\n", Expires: expires}},
		"no end":           {hs256, Claims{Subject: "ann"}},
		"an end too far":   {hs256, Claims{Subject: "ann", Expires: time.Unix(expiresMax+1, 0)}},
	} {
		if tok, err := Sign(c.key, c.claims); err == nil {
			t.Errorf("%s: signed %s", name, tok)
		}
	}
}

func TestBadKeyFiles(t *testing.T) {
	const (
		k = `"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"`
		x = `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	)
	one := func(key string) string { return `{"keys":[{` + key + `}]}` }
	hs, ed := `"kid":"a","kty":"oct","alg":"HS256",`+k, `"kid":"b","kty":"OKP","crv":"Ed25519","alg":"EdDSA",`+x
	for _, good := range []string{one(hs), one(ed), `{"keys":[{` + hs + `},{` + ed + `}]}`} {
		if _, err := parseKeys([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for name, text := range map[string]string{
		"empty":                   "",
		"not JSON":                "secret",
		"a list":                  "[]",
		"no keys":                 `{"keys":[]}`,
		"keys no list":            `{"keys":{}}`,
		"a key alone":             `{` + hs + `}`,
		"more than keys":          `{"keys":[{` + hs + `}],"more":1}`,
		"too many keys":           `{"keys":[` + strings.Repeat(`{`+hs+`},`, keysMax) + `{` + hs + `}]}`,
		"a key that is no object": `{"keys":["a"]}`,
		"a member twice":          one(hs + `,"alg":"HS256"`),
		"a member of tomorrow":    one(hs + `,"key_ops":["verify"]`),
		"a member in capitals":    one(hs + `,"ALG":"HS256"`),
		"a number":                one(`"kid":1,"kty":"oct","alg":"HS256",` + k),
		"one kid twice":           `{"keys":[{` + hs + `},{` + hs + `}]}`,
		"no kid":                  one(`"kty":"oct","alg":"HS256",` + k),
		"kid with a space":        one(strings.Replace(hs, `"a"`, `"a b"`, 1)),
		"a long kid":              one(strings.Replace(hs, `"a"`, `"`+strings.Repeat("a", 65)+`"`, 1)),
		"no alg":                  one(`"kid":"a","kty":"oct",` + k),
		"alg none":                one(strings.Replace(hs, "HS256", "none", 1)),
		"alg HS512":               one(strings.Replace(hs, "HS256", "HS512", 1)),
		"alg RS256":               one(strings.Replace(hs, "HS256", "RS256", 1)),
		"alg EdDSA of an oct":     one(strings.Replace(hs, "HS256", "EdDSA", 1)),
		"alg HS256 of an OKP":     one(strings.Replace(ed, "EdDSA", "HS256", 1)),
		"use enc":                 one(hs + `,"use":"enc"`),
		"no secret":               one(`"kid":"a","kty":"oct","alg":"HS256"`),
		"a short secret":          one(`"kid":"a","kty":"oct","alg":"HS256","k":"c2VjcmV0"`),
		"31 bytes":                one(`"kid":"a","kty":"oct","alg":"HS256","k":"` + base64url.EncodeToString(make([]byte, 31)) + `"`),
		"a long secret":           one(`"kid":"a","kty":"oct","alg":"HS256","k":"` + base64url.EncodeToString(make([]byte, 1025)) + `"`),
		"a secret in base64":      one(`"kid":"a","kty":"oct","alg":"HS256","k":"` + strings.Repeat("ab+/", 20) + `"`),
		"a secret over two lines": one(`"kid":"a","kty":"oct","alg":"HS256","k":"` + strings.Repeat("abcd", 10) + `\n` + strings.Repeat("abcd", 10) + `"`),
		"a secret and a public":   one(hs + "," + x),
		"no public":               one(`"kid":"b","kty":"OKP","crv":"Ed25519","alg":"EdDSA"`),
		"a short public":          one(`"kid":"b","kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"AAAA"`),
		"another curve":           one(strings.Replace(ed, "Ed25519", "Ed448", 1)),
		"a private of another":    one(ed + `,"d":"` + base64url.EncodeToString(make([]byte, 32)) + `"`),
		"a short private":         one(ed + `,"d":"AAAA"`),
		"64 KiB":                  one(hs) + strings.Repeat(" ", keyFileMax),
	} {
		if got, err := parseKeys([]byte(text)); err == nil {
			t.Errorf("%s: %v", name, got)
		} else if strings.Contains(err.Error(), "AyM1") || strings.Contains(err.Error(), "11qY") {
			t.Errorf("%s: the error %q holds the key", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Open(file, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); !errors.Is(err, ErrBadKeyFile) {
		t.Errorf("a bad file: %v", err)
	}
}

// A key may be printed: what it hides stays hidden.
func TestKeysDoNotShow(t *testing.T) {
	eddsa, hs256 := keys(t)
	for _, k := range []*Key{eddsa, hs256} {
		for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %s", k, k, k)} {
			if !strings.Contains(text, k.ID()) || len(text) > 100 {
				t.Errorf("%q", text)
			}
		}
	}
}

// Several processes that start on one fresh folder have one key.
func TestDevelopmentKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	tokens := make([]string, 16)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			k, _, err := LoadOrCreateDevelopmentKey(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if tokens[i], err = signAs(k, Claims{Subject: "ann", Expires: testNow}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, tok := range tokens {
		if tok != tokens[0] {
			t.Fatal("two keys in one folder")
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != DevelopmentKeyFile {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if other, _, err := LoadOrCreateDevelopmentKey(t.TempDir()); err != nil {
		t.Error(err)
	} else if tok, _ := signAs(other, Claims{Subject: "ann", Expires: testNow}, ""); tok == tokens[0] {
		t.Error("two folders have one key")
	}
}

// A damaged key file is reported and left alone, for tokens of it may be out.
func TestDamagedDevelopmentKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, DevelopmentKeyFile)
	for _, text := range []string{"", "{}", `{"keys":[{"kid":"b","kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadOrCreateDevelopmentKey(dir); !errors.Is(err, ErrBadKeyFile) {
			t.Errorf("%q: %v", text, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

// The key file that docs/AUTH.md shows is one.
func TestKeyFileOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/AUTH.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	text, _, _ := strings.Cut(rest, "```")
	got, err := parseKeys([]byte(text))
	if err != nil || len(got) != 2 || got[0].Algorithm() != "EdDSA" || got[0].sign != nil || got[1].Algorithm() != "HS256" {
		t.Errorf("%v, %v", got, err)
	}
}
