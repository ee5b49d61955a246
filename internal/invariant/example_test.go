package invariant_test

import (
	"fmt"

	"github.com/parleychat/parley/internal/invariant"
)

func Example() {
	defer func() { fmt.Println(recover()) }()
	invariant.Violated("sequence %d after %d", 7, 9)
	// Output: BUG: sequence 7 after 9
}
