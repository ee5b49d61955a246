// Package web holds the messenger that a server shows at its root, as bundled from
// src; docs/WEB.md tells how it is made. It is a client like any other: all that it
// knows of the protocol is the TypeScript client's, in clients/js.
//
//	http.Handle("/", http.FileServerFS(web.Files()))
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Files are those of the messenger. A NAME.gz beside a file is the same, packed.
func Files() fs.FS {
	sub, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}
