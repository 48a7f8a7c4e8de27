package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"
)

//go:generate go run ./web/build
//go:embed all:web/dist
var built embed.FS

// Page is the console's page: what go generate built, or a folder.
type Page struct {
	// Build names the page's content; a page that runs another one reloads.
	Build string

	files map[string]*asset
	dir   fs.FS // instead of files: read anew for each request, for development
}

// asset is a file of the page, compressed once.
type asset struct {
	etag         string
	kind         string
	plain, small []byte // small is empty where gzip does not help
}

// buildFile names the build of the page.
const buildFile = "BUILD"

// EmbeddedPage is the page that was built into this program.
func EmbeddedPage() (*Page, error) {
	dist, err := fs.Sub(built, "web/dist")
	if err != nil {
		return nil, fmt.Errorf("embedded page: %w", err)
	}
	p := &Page{files: map[string]*asset{}}
	err = fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		content, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		p.files["/"+name], err = newAsset(name, content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("embedded page: %w", err)
	}
	p.Build = "unbuilt"
	if f := p.files["/"+buildFile]; f != nil {
		p.Build = buildName(f.plain)
	}
	return p, nil
}

// FolderPage serves a folder, as it is at each request.
func FolderPage(dir string) (*Page, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("console folder: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("console folder: %s is a file", dir)
	}
	p := &Page{dir: os.DirFS(dir), Build: "folder"}
	if text, err := fs.ReadFile(p.dir, buildFile); err == nil {
		p.Build = buildName(text)
	}
	return p, nil
}

func buildName(text []byte) string {
	name := strings.TrimSpace(string(text))
	return name[:min(len(name), maxWord)]
}

func newAsset(name string, content []byte) (*asset, error) {
	sum := sha256.Sum256(content)
	a := &asset{etag: `"` + hex.EncodeToString(sum[:12]) + `"`, kind: mime.TypeByExtension(path.Ext(name)), plain: content}
	if a.kind == "" {
		a.kind = "text/plain; charset=utf-8"
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if _, err := z.Write(content); err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if small.Len() < len(content) {
		a.small = small.Bytes()
	}
	return a, nil
}

// find looks a file up. Paths without a dot are places within the page.
func (p *Page) find(name string) (*asset, error) {
	if !strings.Contains(path.Base(name), ".") && name != "/LICENSES" && name != "/"+buildFile {
		name = "/index.html"
	}
	if p.dir == nil {
		if a := p.files[name]; a != nil {
			return a, nil
		}
		return nil, fs.ErrNotExist
	}
	content, err := fs.ReadFile(p.dir, strings.TrimPrefix(name, "/"))
	if err != nil {
		return nil, err
	}
	return newAsset(name, content)
}

// notBuilt is the page of a build without one.
const notBuilt = `<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><title>Fengsui</title>
<h1>本程序未包含控制台页面 · this build has no console page</h1>
<p>网关正在运行，接口与数据流可用。The gateway is running; the API and the stream work.</p>
<p>生成页面 · to build the page: <code>go generate ./...</code>, <code>go build ./cmd/fengsui</code></p>
<p><a href="/help">/help</a> · <a href="/api/v1/openapi.json">/api/v1/openapi.json</a></p>
`

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "bad_method", r.URL.Path+" takes GET")
		return
	}
	a, err := p.find(path.Clean("/" + r.URL.Path))
	if err != nil {
		p.missing(w, r, err)
		return
	}
	h := w.Header()
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", a.kind)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if a.small != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.small
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

func (p *Page) missing(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) || strings.Contains(path.Base(r.URL.Path), ".") {
		fail(w, http.StatusNotFound, "not_found", "there is no "+r.URL.Path)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(notBuilt))
}
