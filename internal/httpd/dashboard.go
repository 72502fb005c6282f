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

// dashboard serves the files of the dashboard.
type dashboard struct {
	files map[string]*file // by path
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
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		d.files["/"+path] = &file{
			name: path, tag: base64.RawURLEncoding.EncodeToString(sum[:12]), content: content,
			packed: sync.OnceValue(func() []byte { return pack(content) }),
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the dashboard: %w", err)
	}
	if index := d.files["/index.html"]; index != nil {
		d.files["/"] = index
	}
	return d, nil
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
	f, found := d.files[r.URL.Path] // folders are not listed
	switch {
	case !found:
		notFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeStatusError(w, http.StatusMethodNotAllowed, model.Errorf(model.CodeInvalid, "%s is not served with the method %.20q", r.URL.Path, r.Method))
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // ask each time; 304 is the answer until the program changes
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
