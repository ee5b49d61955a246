package crashtest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/parleychat/parley/internal/leak"
)

// patience is when a test gives up on what must come. It is generous: several of
// them share two cores.
const patience = time.Minute

// binaries is where the servers that are tested stand.
var binaries string

// TestMain builds for all tests, and fails when one has left a goroutine behind.
func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "parley-crashtest"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	code = leak.Check(code)
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

// ordinary is the binary as users have it; PARLEY_TAGS adds build tags. It is built
// without the race detector, which slows it, and watches its memory in the other
// suites.
var ordinary = sync.OnceValues(func() (string, error) { return build("parley", os.Getenv("PARLEY_TAGS")) })

// mutated is the binary with faults in it, of which PARLEY_MUTANT chooses one.
var mutated = sync.OnceValues(func() (string, error) { return build("parley-mutants", "mutants") })

func build(name, tags string) (string, error) {
	file := filepath.Join(binaries, name)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", file, "../../cmd/parley")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return file, nil
}

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}
