package mutant_test

import (
	"fmt"

	"github.com/parleychat/parley/internal/mutant"
)

func Example() {
	fmt.Println(len(mutant.All))
	// Output: 12
}
