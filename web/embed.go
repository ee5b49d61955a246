// Package web holds the page that a server shows at its root: two people can talk
// with it as soon as a server runs. It speaks the JSON subprotocol and has no
// build step; page/protocol.js keeps the rules of docs/PROTOCOL.md, page/app.js
// draws. Module webtest, below, drives it in a real browser.
//
//	http.Handle("/", http.FileServerFS(web.Files()))
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
