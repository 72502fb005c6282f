package httpd

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// dashboard serves the files of the dashboard.
type dashboard struct {
	files http.Handler
	tags  map[string]string // path of each file to its ETag
}

// newDashboard hashes the files: embedded ones have no time of change, so that a browser
// could not tell whether its copy is current.
func newDashboard(files fs.FS) (*dashboard, error) {
	d := &dashboard{files: http.FileServerFS(files), tags: make(map[string]string)}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		d.tags["/"+path] = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the dashboard: %w", err)
	}
	d.tags["/"] = d.tags["/index.html"]
	return d, nil
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag, found := d.tags[r.URL.Path] // folders have none: they are not listed
	switch {
	case !found:
		notFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeStatusError(w, http.StatusMethodNotAllowed, model.Errorf(model.CodeInvalid, "%s is not served with the method %.20q", r.URL.Path, r.Method))
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache") // ask each time; 304 is the answer until the program changes
	if strings.HasSuffix(r.URL.Path, ".js") {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8") // whatever the system's table says
	}
	d.files.ServeHTTP(w, r)
}
