package auth

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
)

// Whatever is sent as a token is refused, as long as it is not one of ours.
func FuzzVerify(f *testing.F) {
	_, hs256 := keys(f)
	good := token(f, hs256, goodHeader, goodClaims)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("..")
	f.Add(strings.Repeat("a.", 20))
	v := open(f, Options{})
	f.Fuzz(func(t *testing.T, tok string) {
		c, err := v.Verify(tok)
		if tok == good {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, parley.BadToken) || c != (Claims{}) {
			t.Fatalf("%q is %+v, %v", tok, c, err)
		}
	})
}

// Claims that a key has signed never panic, and say of whom they speak only in
// bounds.
func FuzzClaims(f *testing.F) {
	for _, claims := range []string{
		goodClaims, `{"sub":"ann","exp":1800003600,"tenant":7,"aud":["chat"],"iat":1,"nbf":1.5}`, `{"sub":"\ud800","exp":1e300}`, `[]`, `{"a":{"b":[{}]}}`,
	} {
		f.Add([]byte(claims))
	}
	v := open(f, Options{})
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := v.parseClaims(text, testNow)
		if err != nil {
			if !errors.Is(err, parley.BadToken) || c != (Claims{}) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		if !validSubject(c.Subject) || !c.Expires.After(testNow) || c.Expires.After(time.Unix(expiresMax, 0)) {
			t.Fatalf("%q is %+v", text, c)
		}
	})
}

// What parseObject accepts, encoding/json understands in the same way.
func FuzzParseObject(f *testing.F) {
	for _, text := range []string{goodHeader, goodClaims, `{"a":[1,{"b":null},true],"c":{"d":"\u00e9"}}`, `{"a":1,"a":2}`, `{} {}`, `[{}]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseObject(text)
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %v, to encoding/json %v, %v", text, got, want, err)
		}
	})
}

// Key files never panic; what they give can be used.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kid":"a","kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`))
	f.Add([]byte(`{"keys":[{"kid":"b","kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseKeys(text)
		if err != nil {
			return
		}
		for _, k := range all {
			_ = k.method.Verify("a", []byte("b"), k.verify)
			if k.sign == nil {
				continue
			}
			if _, err := Sign(k, Claims{Subject: "ann", Expires: testNow}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
