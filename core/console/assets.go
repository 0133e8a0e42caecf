package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// page is the whole of the user interface.
//
//go:embed page
var page embed.FS

// asset is one file of the page.
type asset struct {
	body string
	kind string
	tag  string // of its content, so that a browser asks but does not load twice
}

func loadAssets() map[string]asset {
	entries, err := page.ReadDir("page")
	if err != nil {
		panic("console: embedded page: " + err.Error())
	}
	assets := make(map[string]asset, len(entries))
	for _, e := range entries {
		body, err := page.ReadFile("page/" + e.Name())
		if err != nil {
			panic("console: embedded page: " + err.Error())
		}
		sum := sha256.Sum256(body)
		assets[e.Name()] = asset{body: string(body), kind: kindOf(e.Name()), tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return assets
}

// kindOf does not ask the system's own table, which may be missing or wrong.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// serveAsset serves a file of the page; / is index.html.
func (c *Console) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if name == "" {
		name = "index.html"
	}
	a, ok := c.assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(a.body))
}
