package web_test

import (
	"fmt"
	"io/fs"

	"github.com/parleychat/parley/web"
)

func Example() {
	names, err := fs.Glob(web.Files(), "*")
	fmt.Println(names, err)
	// Output: [assets index.html] <nil>
}
