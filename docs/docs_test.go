// Package docs_test checks that what the documents point to is there.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link matches [text](target) that is no web address.
var link = regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]+)?\)`)

// Each link of the documents has an existing target.
func TestDocs_LinksResolve(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"../*.md", "*.md", "*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	links := 0
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			links++
			target := path
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(path), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", path, m[0], err)
			} else if m[2] != "" && !hasHeading(t, target, m[2]) {
				t.Errorf("%s: %s: %s has no such heading", path, m[0], target)
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links were found in %v", links, documents)
	}
}

func hasHeading(t *testing.T, path, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		title := strings.TrimLeft(line, "#")
		if title != line && "#"+strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-") == anchor {
			return true
		}
	}
	return false
}
