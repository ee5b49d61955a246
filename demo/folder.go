package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// World is what a folder was filled with.
type World struct {
	Version  int       // of this description
	Seed     uint64    //
	Users    int       //
	Messages int       // that people have sent
	Years    float64   //
	Until    time.Time // of the newest message

	// Main is the subject of the person who has something of everything, Second
	// that of somebody to see the other side with, Lively those of the people who
	// live on.
	Main   string
	Second string
	Lively []string

	// Filled says that nothing is missing.
	Filled bool
}

// ErrFolder reports a folder that is not for this: something else is in it, or a
// world that was not finished.
var ErrFolder = errors.New("demo: unusable folder")

const (
	worldFile    = "demo.json"
	worldVersion = 1
)

// Find reads what a folder was filled with. It is nil for one that is empty or
// missing. A folder with anything else in it, or with half a world, is ErrFolder.
func Find(dir string) (*World, error) {
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("demo: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, worldFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has something else in it; name an empty folder, or one that does not exist", ErrFolder, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	w := &World{}
	if err := json.Unmarshal(text, w); err != nil || w.Version != worldVersion {
		return nil, fmt.Errorf("%w: %s is not a world that this version knows; remove the folder, and start again", ErrFolder, dir)
	}
	if !w.Filled {
		return nil, fmt.Errorf("%w: %s was filled half; if no other process is filling it now, remove the folder and start again", ErrFolder, dir)
	}
	return w, nil
}

// save writes the description in place of an earlier one, as a whole.
func (w *World) save(dir string) error {
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, worldFile+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, worldFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
