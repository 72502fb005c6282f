package suite

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/httpd/web"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// vendored is the folder with what was not written here.
const vendored = "vendor/"

// sources returns the text of the files with the extension, by path, without vendored
// ones.
func sources(t *testing.T, extension string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := fs.WalkDir(web.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != extension || strings.HasPrefix(name, vendored) {
			return err
		}
		text, err := fs.ReadFile(web.Files(), name)
		found[name] = string(text)
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d files with %s, %v", len(found), extension, err)
	}
	return found
}

// Text from outside enters a page by textContent only: no module uses what parses
// markup, runs text as code, or sets a style attribute.
func TestModules_UseNoMarkupFromText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\(|new Function|javascript:|'style'|"style"|cssText`)
	for name, text := range sources(t, ".js") {
		for n, line := range strings.Split(text, "\n") {
			if m := forbidden.FindString(line); m != "" {
				t.Errorf("%s:%d uses %s", name, n+1, m)
			}
		}
	}
}

// The policy of the server forbids inline scripts and styles, and a page behind a proxy
// has another path: index.html has neither, and all its references are relative and exist.
func TestIndex_HasRelativeReferencesOnly(t *testing.T) {
	index := sources(t, ".html")["index.html"]
	if m := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script>|<base`).FindString(index); m != "" {
		t.Errorf("index.html has %q", m)
	}
	references := regexp.MustCompile(`(?:href|src)="([^"#]+)"`).FindAllStringSubmatch(index, -1)
	for _, m := range references {
		name, ok := strings.CutPrefix(m[1], "assets/") // where the server has the files of a build
		if !ok {
			t.Errorf("index.html: %s is not below assets/", m[1])
		}
		if _, err := fs.Stat(web.Files(), name); err != nil {
			t.Errorf("index.html: %v", err)
		}
	}
	if len(references) < 5 {
		t.Errorf("only %d references were found", len(references))
	}
}

// Each import of a module names an embedded file.
func TestModules_ImportsResolve(t *testing.T) {
	imports := regexp.MustCompile(`(?:from|import)\s*\(?'(\.[^']+)'`)
	count := 0
	for name, text := range sources(t, ".js") {
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			count++
			if target := path.Join(path.Dir(name), m[1]); !fs.ValidPath(target) {
				t.Errorf("%s imports %s", name, m[1])
			} else if _, err := fs.Stat(web.Files(), target); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if count < 50 {
		t.Errorf("only %d imports were found", count)
	}
}

// The functions without a page (formats, filters, quoting) return what units.mjs expects.
func TestModules_UnitsPass(t *testing.T) {
	dir := t.TempDir()
	for folder, files := range map[string]fs.FS{"": web.Files(), "suite": os.DirFS(".")} {
		if err := os.CopyFS(filepath.Join(dir, folder), files); err != nil {
			t.Fatal(err)
		}
	}
	// Node takes .js for modules only if a package.json says so.
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testbed.RequireBinary(t, "node"), "--test", "suite/units.mjs")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
