package node

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/fstest"
)

// A bundle: names that hold a hash are kept for ever, everything else is asked
// for again, and who takes gzip gets what was packed before.
func TestPageServesABundle(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("export const a = 1"))
	_ = z.Close()
	p := newPage(fstest.MapFS{
		"index.html":                  {Data: []byte("<title>Parley</title>")},
		"icon.svg":                    {Data: []byte("<svg/>")},
		"assets/index-B7x_kQ9a.js":    {Data: []byte("export const a = 1")},
		"assets/index-B7x_kQ9a.js.gz": {Data: packed.Bytes()},
		"assets/logo.svg":             {Data: []byte("<svg/>")},
		"only.gz":                     {Data: packed.Bytes()},
	})
	const forever, again = "public, max-age=31536000, immutable", "no-cache"
	for _, c := range []struct {
		path, accept string
		status       int
		cache, kind  string
		encoding     string
	}{
		{"/", "gzip", 200, again, "text/html; charset=utf-8", ""},
		{"/icon.svg", "gzip", 200, again, "image/svg+xml", ""},
		{"/assets/logo.svg", "", 200, again, "image/svg+xml", ""},
		{"/assets/index-B7x_kQ9a.js", "", 200, forever, "text/javascript; charset=utf-8", ""},
		{"/assets/index-B7x_kQ9a.js", "br, gzip;q=0.8", 200, forever, "text/javascript; charset=utf-8", "gzip"},
		{"/assets/index-B7x_kQ9a.js", "br, *", 200, forever, "text/javascript; charset=utf-8", "gzip"},
		{"/assets/index-B7x_kQ9a.js", "gzip; q=0, *", 200, forever, "text/javascript; charset=utf-8", ""},
		{"/assets/index-00000000.js", "gzip", 404, again, "text/plain; charset=utf-8", ""},
		{"/only", "", 404, again, "text/plain; charset=utf-8", ""},
		{"/assets/", "", 404, again, "text/plain; charset=utf-8", ""},
		{"/../page.go", "", 404, again, "text/plain; charset=utf-8", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://chat.example"+c.path, nil)
		if c.accept != "" {
			r.Header.Set("Accept-Encoding", c.accept)
		}
		w := httptest.NewRecorder()
		safeHeaders(p).ServeHTTP(w, r)
		h := w.Header()
		if w.Code != c.status || h.Get("Cache-Control") != c.cache || h.Get("Content-Type") != c.kind || h.Get("Content-Encoding") != c.encoding {
			t.Errorf("%s, accepting %q: %d %v", c.path, c.accept, w.Code, h)
		}
		if c.encoding == "gzip" {
			if n := h.Get("Content-Length"); n != strconv.Itoa(packed.Len()) {
				t.Errorf("%s: %s bytes, of %d", c.path, n, packed.Len())
			}
			if z, err := gzip.NewReader(w.Body); err != nil {
				t.Errorf("%s: %v", c.path, err)
			} else if b, err := io.ReadAll(z); err != nil || string(b) != "export const a = 1" || h.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s: %q, %v, %v", c.path, b, err, h)
			}
		}
		if c.status != http.StatusOK {
			continue
		}
		r.Header.Set("If-None-Match", h.Get("Etag"))
		w = httptest.NewRecorder()
		if safeHeaders(p).ServeHTTP(w, r); w.Code != http.StatusNotModified {
			t.Errorf("%s: what has not changed was answered with %d", c.path, w.Code)
		}
	}
}
