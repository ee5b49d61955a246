package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/golang-jwt/jwt/v5"
)

// DevelopmentKeyFile is the name of the development key in a data folder.
const DevelopmentKeyFile = "dev.key"

// LoadOrCreateDevelopmentKey returns the key of a data folder for trying
// Parley out, and its file; it makes both, and the folder, where they are
// missing. Of several processes that do so at once, one makes the key for all.
//
// Whoever can read the file can be any user. It is for development alone.
func LoadOrCreateDevelopmentKey(dir string) (*Key, string, error) {
	file := filepath.Join(dir, DevelopmentKeyFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := createDevelopmentKey(dir, file); err != nil {
			return nil, "", fmt.Errorf("auth: make a development key: %w", err)
		}
	}
	keys, err := LoadKeys(file)
	if err != nil {
		return nil, "", err
	}
	if keys[0].sign == nil {
		return nil, "", fmt.Errorf("%w: %s: the first key can not sign", ErrBadKeyFile, file)
	}
	return keys[0], file, nil
}

// createDevelopmentKey writes the key beside its place and links it there, so
// that no one ever reads half of it and a key once made is never replaced.
func createDevelopmentKey(dir, file string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := developmentKey()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, DevelopmentKeyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// developmentKey is a key file with a fresh HS256 key: the algorithm that a
// dozen lines of any language can sign with.
func developmentKey() ([]byte, error) {
	secret := make([]byte, secretMin)
	_, _ = rand.Read(secret) // never fails
	set := keySet{Keys: []jsonKey{{
		ID: "dev", Algorithm: jwt.SigningMethodHS256.Alg(), Type: "oct", Secret: base64url.EncodeToString(secret),
	}}}
	text, err := json.MarshalIndent(set, "", "  ")
	return append(text, '\n'), err
}
