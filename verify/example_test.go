package verify_test

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/verify"
)

func Example() {
	_, err := verify.Folder(vfs.NewMem(), "data")
	fmt.Println(err != nil)
	// Output: true
}
