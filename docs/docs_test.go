// Package docs_test checks that what the documents point to is there.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
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
		if title != line && "#"+anchorOf(title) == anchor {
			return true
		}
	}
	return false
}

// anchorOf returns the anchor that GitHub gives a heading: without punctuation, with a
// hyphen for each space. It does not number equal headings.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}

// A heading's anchor is as GitHub makes it.
func TestDocs_AnchorsHaveNoPunctuation(t *testing.T) {
	for title, want := range map[string]string{
		" The worker for a task":     "the-worker-for-a-task",
		" `aria add`: what, and why": "aria-add-what-and-why",
		" NATS / JetStream (R3)":     "nats--jetstream-r3",
	} {
		if got := anchorOf(title); got != want {
			t.Errorf("%q has the anchor %q, want %q", title, got, want)
		}
	}
}
