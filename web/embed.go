// Package web holds the page that a server shows at its root.
package web

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

// Files are those of the page.
func Files() fs.FS {
	sub, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}
