package httpd

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// assets is the folder of the files, in a subfolder with the name of their build, as
// index.html refers to them. A browser asks for such a file once.
const (
	assets    = "/assets/"
	indexName = "index.html"
)

// dashboard serves the files of the dashboard.
type dashboard struct {
	files map[string]*file // by path
	build string           // hash of all files
}

// file is one of them.
type file struct {
	name    string
	tag     string // hash of its content
	content []byte
	packed  func() []byte // compressed, once
}

// newDashboard hashes the files: embedded ones have no time of change, so that a browser
// could not tell whether its copy is current.
func newDashboard(files fs.FS) (*dashboard, error) {
	d := &dashboard{files: make(map[string]*file)}
	all := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(all, "%s %d\n", path, len(content))
		all.Write(content)
		d.files["/"+path] = newFile(path, content)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the dashboard: %w", err)
	}
	d.build = shortHash(all.Sum(nil))
	if index := d.files["/"+indexName]; index != nil {
		index = newFile(indexName, []byte(strings.ReplaceAll(string(index.content), `="assets/`, `="assets/`+d.build+"/")))
		d.files["/"+indexName], d.files["/"] = index, index
	}
	return d, nil
}

func newFile(name string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{name: name, tag: shortHash(sum[:]), content: content, packed: sync.OnceValue(func() []byte { return pack(content) })}
}

func shortHash(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:12]) }

// find returns the file of a path, and whether the path names its build. A page that was
// opened before an upgrade asks for files of the earlier build: it gets the present ones.
func (d *dashboard) find(path string) (f *file, unchanging bool) {
	if rest, ok := strings.CutPrefix(path, assets); ok {
		build, name, _ := strings.Cut(rest, "/")
		if f = d.files["/"+name]; f != nil && f.name == indexName {
			return nil, false // it is not of the assets
		}
		return f, build == d.build
	}
	return d.files[path], false
}

// pack compresses a file.
func pack(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(content) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, unchanging := d.find(r.URL.Path) // folders are not listed
	switch {
	case f == nil:
		notFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, model.Errorf(codeMethod, "%s is not served with the method %.20q", r.URL.Path, r.Method))
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // ask each time; 304 is the answer until the program changes
	if unchanging {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	h.Set("Vary", "Accept-Encoding")
	if strings.HasSuffix(f.name, ".js") {
		h.Set("Content-Type", "text/javascript; charset=utf-8") // whatever the system's table says
	}
	content := f.content
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && mime.TypeByExtension(path.Ext(f.name)) != "" {
		content = f.packed()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, f.tag, len(content)))
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(content))
}
