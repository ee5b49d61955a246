package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/parleychat/parley"
)

// The page for app developers names every code that they can meet.
func TestProtocolPageNamesEveryCode(t *testing.T) {
	b, err := os.ReadFile("../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	codes := 0
	for n := range 10000 {
		c := parley.Code(n)
		if n == 0 || c.String() == fmt.Sprintf("code(%d)", n) {
			continue
		}
		codes++
		if row := fmt.Sprintf("| %d | `%s` |", n, c); !strings.Contains(page, row) {
			t.Errorf("no row begins %q", row)
		}
	}
	for c := range closeNames {
		if row := fmt.Sprintf("| %d | `%s` |", uint16(c), c); !strings.Contains(page, row) {
			t.Errorf("no row begins %q", row)
		}
	}
	if codes < 16 {
		t.Errorf("looked for %d error codes", codes)
	}
	for request := range requests() {
		name := strings.NewReplacer("list_", "", "get_", "").Replace(request)
		if name == "send_data" || name == "prefer_reset" { // second samples
			continue
		}
		if row := "| `" + name + "` | `"; !strings.Contains(page, row) {
			t.Errorf("no row begins %q", row)
		}
	}
}
