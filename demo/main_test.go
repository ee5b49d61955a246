package demo

import (
	"log/slog"
	"testing"
	"time"

	"github.com/parleychat/parley/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// until is when the worlds of the tests end: a Tuesday evening.
var until = time.Date(2026, 3, 10, 20, 15, 0, 0, time.UTC)

func small() Options {
	return Options{Seed: 7, Users: 10, Messages: 1000, Years: 2, Until: until, Logger: slog.New(slog.DiscardHandler)}
}

func filled(t *testing.T, o Options) (string, World) {
	t.Helper()
	dir := t.TempDir()
	w, err := Prepare(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, w
}
