package scenario

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/parleychat/parley/internal/leak"
	"github.com/parleychat/parley/wire"
)

// control is where the stages of all tests are had.
var control string

// TestMain builds the server, and fails when a test has left a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	// Most of a scenario is waiting, so more of them run than there are processors.
	_ = flag.Set("test.parallel", "4")
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "parley-scenarios")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	bin := filepath.Join(folder, "parley")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/parley").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	stages := NewControl(bin)
	server := httptest.NewServer(stages)
	control = server.URL
	code := m.Run()
	server.Close()
	if err := stages.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return leak.Check(code)
}

// scenarios is the folder of the files.
var scenarios = os.DirFS("../../clients/scenarios")

// TestScenarios plays every file over both subprotocols.
func TestScenarios(t *testing.T) {
	all, err := Load(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for name, subprotocol := range map[string]wire.Subprotocol{"proto": wire.Binary, "json": wire.JSON} {
			t.Run(s.File+"/"+name, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				if err := Play(t.Context(), control, s, subprotocol); err != nil {
					t.Errorf("%s (%s): %v", s.Name, s.Proves, err)
				}
				t.Logf("%v", time.Since(begun).Round(time.Millisecond))
			})
		}
	}
}
