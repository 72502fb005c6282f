package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every file and folder that ARCHITECTURE.md and the reading test name exists.
func TestArchitecture_NamedPathsExist(t *testing.T) {
	paths := regexp.MustCompile("`((?:cmd|internal|pkg|docs)/[a-z0-9_/.-]+)`")
	for document, least := range map[string]int{"../ARCHITECTURE.md": 30, "reading-test.md": 10} {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		named := paths.FindAllStringSubmatch(string(text), -1)
		for _, m := range named {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
		if len(named) < least {
			t.Errorf("%s: only %d paths were found", document, len(named))
		}
	}
}

// Every package of the module, or a folder above it, is in the table of packages.
func TestArchitecture_EveryPackageIsListed(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Packages")
	table, _, _ = strings.Cut(table, "```")
	for _, pattern := range []string{"../cmd/*", "../internal/*", "../pkg/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, path := range found {
			if name := strings.TrimPrefix(path, "../"); !strings.Contains(table, "`"+name+"`") {
				t.Errorf("%s is not in the table of ARCHITECTURE.md", name)
			}
		}
	}
}
