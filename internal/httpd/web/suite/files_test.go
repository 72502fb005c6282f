package suite

import (
	"crypto/sha256"
	"fmt"
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

// modules returns the text of the modules, by path.
func modules(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	root := os.DirFS("..")
	err := fs.WalkDir(root, "js", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, name)
		found[name] = string(text)
		return err
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("%d modules, %v", len(found), err)
	}
	return found
}

// The bundle that is embedded was made from the modules and styles beside it, and was not
// changed since. tools/bundle writes both hashes into its first line.
func TestBundle_MadeFromSources(t *testing.T) {
	for name, dir := range map[string]string{"app.js": "js", "app.css": "css"} {
		content, err := fs.ReadFile(web.Files(), "bundle/"+name)
		if err != nil {
			t.Fatal(err)
		}
		first, rest, _ := strings.Cut(string(content), "\n")
		sources, root := sha256.New(), os.DirFS("..")
		err = fs.WalkDir(root, dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			source, err := fs.ReadFile(root, name)
			fmt.Fprintf(sources, "%s %d\n%s", name, len(source), source)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("Sources %x, bundle %x.", sources.Sum(nil), sha256.Sum256([]byte(rest))); !strings.Contains(first, want) {
			t.Errorf("bundle/%s is stale; run: go generate ./internal/httpd/web (want %s)", name, want)
		}
	}
}

// Text from outside enters a page by textContent only: no module uses what parses
// markup, runs text as code, or sets a style attribute.
func TestModules_UseNoMarkupFromText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\(|new Function|javascript:|'style'|"style"|cssText`)
	for name, text := range modules(t) {
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
	content, err := fs.ReadFile(web.Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	index := string(content)
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
	if len(references) < 4 {
		t.Errorf("only %d references were found", len(references))
	}
}

// Each file that the bundle loads is embedded.
func TestBundle_ImportsResolve(t *testing.T) {
	content, err := fs.ReadFile(web.Files(), "bundle/app.js")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?:from|import\(|URL\()\s*["'](\.[^"']+)["']`).FindAllStringSubmatch(string(content), -1)
	for _, m := range found {
		if _, err := fs.Stat(web.Files(), path.Join("bundle", m[1])); err != nil {
			t.Error(err)
		}
	}
	if len(found) != 2 {
		t.Errorf("%d references, want the two files of the plots", len(found))
	}
}

// The functions without a page (formats, filters, quoting) return what units.mjs expects.
func TestModules_UnitsPass(t *testing.T) {
	dir := t.TempDir()
	for folder, files := range map[string]fs.FS{"js": os.DirFS("../js"), "suite": os.DirFS(".")} {
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
