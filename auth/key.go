package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/golang-jwt/jwt/v5"
)

// ErrBadKeyFile reports a key file that does not say, beyond doubt, which keys
// to trust.
var ErrBadKeyFile = errors.New("auth: bad key file")

// The limits of a key file.
const (
	keyFileMax = 64 << 10
	keysMax    = 64
	keyIDMax   = 64
	// secretMin is RFC 7518's: an HS256 key shorter than its hash can be guessed
	// from one token.
	secretMin = 32
	secretMax = 1024
)

// Key checks tokens by its one algorithm, HS256 or EdDSA. It also signs them if
// it has its secret half; that of HS256 is its only one.
type Key struct {
	id     string
	method jwt.SigningMethod
	verify any
	sign   any // nil if the key file has the public half alone
}

// ID is the name that tokens call the key by, in their header's kid.
func (k *Key) ID() string { return k.id }

// Algorithm is the JOSE name of the key's algorithm.
func (k *Key) Algorithm() string { return k.method.Alg() }

// String names the key and never shows it.
func (k *Key) String() string { return k.Algorithm() + " key " + k.id }

// keySet is a key file: a JSON Web Key Set (RFC 7517).
type keySet struct {
	Keys []jsonKey `json:"keys"`
}

// jsonKey is a JSON Web Key. Members that are not here are refused, since a
// misspelt one would be a check that is not made.
type jsonKey struct {
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Type      string `json:"kty"`
	Use       string `json:"use,omitempty"`
	Curve     string `json:"crv,omitempty"`
	Secret    string `json:"k,omitempty"` // of HS256
	Public    string `json:"x,omitempty"` // of EdDSA
	Private   string `json:"d,omitempty"` // of EdDSA; only who signs needs it
}

// LoadKeys reads a key file. Whatever is wrong with it is ErrBadKeyFile.
func LoadKeys(file string) ([]*Key, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("auth: key file: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, keyFileMax+1))
	if err != nil {
		return nil, fmt.Errorf("auth: key file: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadKeyFile, file, err)
	}
	return keys, nil
}

func parseKeys(text []byte) ([]*Key, error) {
	if len(text) > keyFileMax {
		return nil, fmt.Errorf("longer than %d bytes", keyFileMax)
	}
	set, err := parseKeySet(text)
	if err != nil {
		return nil, err
	}
	if len(set.Keys) == 0 || len(set.Keys) > keysMax {
		return nil, fmt.Errorf("%d keys, want 1 to %d", len(set.Keys), keysMax)
	}
	keys := make([]*Key, len(set.Keys))
	for i, j := range set.Keys {
		k, err := j.key()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys[i] = k
	}
	return keys, uniqueIDs(keys)
}

// parseKeySet fills in by exact names, where encoding/json would also take
// members that differ in case.
func parseKeySet(text []byte) (keySet, error) {
	members, err := parseObject(text)
	if err != nil {
		return keySet{}, err
	}
	list, ok := members["keys"].([]any)
	if !ok || len(members) != 1 {
		return keySet{}, errors.New(`not an object with the one member "keys", a list`)
	}
	set := keySet{Keys: make([]jsonKey, len(list))}
	for i, item := range list {
		key, _ := item.(map[string]any)
		for name, value := range key {
			field := set.Keys[i].field(name)
			str, ok := value.(string)
			if field == nil || !ok {
				return keySet{}, fmt.Errorf("key %d: %.20q is unknown or not a string", i+1, name)
			}
			*field = str
		}
	}
	return set, nil
}

// field is the place of a member; nil if there is none of this name.
func (j *jsonKey) field(name string) *string {
	switch name {
	case "kid":
		return &j.ID
	case "alg":
		return &j.Algorithm
	case "kty":
		return &j.Type
	case "use":
		return &j.Use
	case "crv":
		return &j.Curve
	case "k":
		return &j.Secret
	case "x":
		return &j.Public
	case "d":
		return &j.Private
	}
	return nil
}

func uniqueIDs(keys []*Key) error {
	seen := make(map[string]bool, len(keys))
	for i, k := range keys {
		if seen[k.id] {
			return fmt.Errorf("key %d: its kid stands twice", i+1)
		}
		seen[k.id] = true
	}
	return nil
}

func (j jsonKey) key() (*Key, error) {
	if !validKeyID(j.ID) {
		return nil, fmt.Errorf("kid is not 1 to %d letters, digits, '.', '_' or '-'", keyIDMax)
	}
	if j.Use != "" && j.Use != "sig" {
		return nil, errors.New(`use is not "sig"`)
	}
	switch {
	case j.Algorithm == "HS256" && j.Type == "oct" && j.Curve == "" && j.Public == "" && j.Private == "":
		return j.hmac()
	case j.Algorithm == "EdDSA" && j.Type == "OKP" && j.Curve == "Ed25519" && j.Secret == "":
		return j.ed25519()
	}
	return nil, errors.New("neither alg HS256 with kty oct and k, nor alg EdDSA with kty OKP, crv Ed25519 and x")
}

func (j jsonKey) hmac() (*Key, error) {
	secret, err := decode(j.Secret)
	if err != nil || len(secret) < secretMin || len(secret) > secretMax {
		return nil, fmt.Errorf("k is not %d to %d bytes in base64url", secretMin, secretMax)
	}
	return &Key{id: j.ID, method: jwt.SigningMethodHS256, verify: secret, sign: secret}, nil
}

func (j jsonKey) ed25519() (*Key, error) {
	public, err := decode(j.Public)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x is not %d bytes in base64url", ed25519.PublicKeySize)
	}
	k := &Key{id: j.ID, method: jwt.SigningMethodEdDSA, verify: ed25519.PublicKey(public)}
	if j.Private == "" {
		return k, nil
	}
	seed, err := decode(j.Private)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("d is not %d bytes in base64url", ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(private.Public().(ed25519.PublicKey), public) {
		return nil, errors.New("d and x are not of one key")
	}
	k.sign = private
	return k, nil
}

func validKeyID(id string) bool {
	if id == "" || len(id) > keyIDMax {
		return false
	}
	for _, c := range []byte(id) {
		if !inBase64url(c) && c != '.' {
			return false
		}
	}
	return true
}

// base64url refuses padding and bits behind the end.
var base64url = base64.RawURLEncoding.Strict()

// decode reads base64url in its one form. The library reads over line feeds.
func decode(s string) ([]byte, error) {
	for _, c := range []byte(s) {
		if !inBase64url(c) {
			return nil, errors.New("not base64url")
		}
	}
	return base64url.DecodeString(s)
}

func inBase64url(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
