package parley_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/parleychat/parley"

// layers says which packages of this module each package may import. Every
// package may also import the root, internal/invariant and internal/mutant.
// Imports go down, never sideways, never up; a change of the architecture is a
// line here.
var layers = map[string][]string{
	"":                   {},
	"internal/invariant": {},
	"internal/mutant":    {},
	"internal/leak":      {},
	"internal/redistest": {},
	"wal":                {},
	"tiering/segment":    {},
	"wire":               {},
	"auth":               {},
	"web":                {},
	"presence":           {},
	"engine":             {"wal", "tiering/segment"},
	"client":             {"wire"},
	"bench":              {"client", "wire"},
	"chat":               {"engine"},
	"cluster":            {"chat", "wire"},
	"gateway":            {"wire"},
	"node":               {"client", "gateway", "cluster", "presence", "chat", "engine", "auth", "wire", "web"},
	"verify":             {"wal", "tiering/segment"},
	"demo":               {"chat", "engine", "client"},
	"cmd/parley":         {"node", "client", "bench", "demo", "auth", "verify"},

	"clients/js/generate": {},

	"internal/sim":       {"chat", "engine", "wal", "verify"},
	"internal/crashtest": {"verify", "client", "auth", "wire"},

	"internal/scenario":       {"client", "auth", "wire"},
	"internal/scenario/stage": {"internal/scenario"},
}

// testLayers says what the tests of a package may import besides: what makes the
// thing that is tested. Every test may also import the one file system, to be on
// a disk in memory.
var testLayers = map[string][]string{
	"verify":  {"chat", "engine"},     // a folder to judge
	"cluster": {"engine", "presence"}, // a store behind the router, and who is online
	"demo":    {"node", "verify"},     // a server to live on, and a judge of the folder
	"node":    {"internal/redistest"}, // a cluster to lose

	"presence": {"internal/redistest"}, // a cluster to lose
}

const simulatedDisk = "github.com/cockroachdb/pebble/v2/vfs"

// foreign says which packages may import a library that we keep in its place,
// and why.
var foreign = map[string]struct {
	in  []string
	why string
}{
	"github.com/lesismal/nbio":         {[]string{"gateway"}, "the poller stays in gateway/nbio.go; our logic is tested without it"},
	"github.com/redis/rueidis":         {[]string{"presence"}, "a registry is an interface; who uses one knows nothing of Redis"},
	"github.com/cockroachdb/pebble/v2": {[]string{"engine", "verify"}, "the catalogue is the engine's; its judge reads it alone"},
	simulatedDisk:                      {[]string{"wal", "tiering/segment", "engine", "chat", "node", "verify", "demo", "internal/sim", "internal/crashtest", "cmd/parley"}, "the one file system, so that tests can cut its power"},
}

func TestImportsGoDown(t *testing.T) {
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || hasModule(file)) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		return checkImports(t, filepath.ToSlash(file))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImports(t *testing.T, file string) error {
	pkg := path.Dir(file)
	if pkg == "." {
		pkg = ""
	}
	allowed, known := layers[pkg]
	if !known {
		t.Errorf("%s: package %q is not in the table of layers", file, pkg)
		return nil
	}
	if strings.HasSuffix(file, "_test.go") {
		allowed = slices.Concat(allowed, testLayers[pkg])
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		checkImport(t, file, pkg, imported, allowed)
	}
	return nil
}

func checkImport(t *testing.T, file, pkg, imported string, allowed []string) {
	if own, ok := strings.CutPrefix(imported, module); ok {
		own = strings.TrimPrefix(own, "/")
		if own == "" || own == "internal/invariant" || own == "internal/mutant" || own == "internal/leak" || own == pkg || slices.Contains(allowed, own) {
			return
		}
		t.Errorf("%s imports %s: %q may import only %v", file, imported, pkg, allowed)
		return
	}
	if pkg == "" && strings.Contains(imported, ".") {
		t.Errorf("%s imports %s: the root speaks the standard library only", file, imported)
	}
	longest, rule := "", []string(nil)
	for prefix, f := range foreign {
		if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && len(prefix) > len(longest) {
			longest, rule = prefix, f.in
		}
	}
	if strings.HasSuffix(file, "_test.go") && imported == simulatedDisk {
		return
	}
	if longest != "" && !slices.Contains(rule, pkg) {
		t.Errorf("%s imports %s, which belongs to %v: %s", file, imported, rule, foreign[longest].why)
	}
}
