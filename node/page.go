package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// page serves the embedded files to who reads them.
type page struct{ files map[string]*file }

// file is a file of the page.
type file struct {
	plain, packed encoded // packed is what stands beside it as NAME.gz, if anything
	kind          string  // its Content-Type
	forever       bool
}

// encoded is one form of a file.
type encoded struct {
	body []byte
	etag string
}

// hashed is the name of a file whose content never changes, since the name holds
// a hash of it: the bundler writes such ones.
var hashed = regexp.MustCompile(`^assets/.+[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

// kinds are the types of what a bundle holds: what a machine's own list says of
// them, or whether it has one, is not to matter.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
	".json": "application/json", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
}

func kindOf(name string) string {
	extension := path.Ext(name)
	if kind, ok := kinds[extension]; ok {
		return kind
	}
	if kind := mime.TypeByExtension(extension); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// newPage reads the files once: they are few, and in memory anyhow.
func newPage(from fs.FS) *page {
	p := &page{files: make(map[string]*file)}
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		original, packed := strings.CutSuffix(name, ".gz")
		f := p.files[original]
		if f == nil {
			f = &file{kind: kindOf(original), forever: hashed.MatchString(original)}
			p.files[original] = f
		}
		sum := sha256.Sum256(b)
		form := encoded{b, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		if packed {
			f.packed = form
		} else {
			f.plain = form
		}
		return nil
	})
	if err != nil {
		panic(fmt.Errorf("node: the embedded page: %w", err)) // it was whole when it was built
	}
	for name, f := range p.files {
		if f.plain.body == nil { // nothing but an archive
			delete(p.files, name)
		}
	}
	return p
}

// ServeHTTP answers with a file. Browsers ask again for every one before they use
// it, and are told in a few bytes that it is the same; but not for those whose
// name changes with their content.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page to be read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	f := p.files[name]
	if f == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	if f.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	form := f.plain
	if f.packed.body != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			form = f.packed
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(form.body)))
			r.Header.Del("Range") // a part of an archive is of no use
		}
	}
	h.Set("Etag", form.etag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(form.body))
}

// acceptsGzip reads Accept-Encoding, as far as it is about gzip.
func acceptsGzip(r *http.Request) bool {
	star := false
	for entry := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(entry, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return wanted(parameters)
		case "*":
			star = wanted(parameters)
		}
	}
	return star
}

// wanted reports whether a quality is above 0, or not given.
func wanted(parameters string) bool {
	_, q, ok := strings.Cut(strings.ReplaceAll(parameters, " ", ""), "q=")
	if !ok {
		return true
	}
	quality, err := strconv.ParseFloat(q, 64)
	return err == nil && quality > 0
}
