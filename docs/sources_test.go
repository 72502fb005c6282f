package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each case and test that the table of kinds names exists, and each of the 16 kinds has
// one.
func TestSourcesDoc_KindsNameExistingCases(t *testing.T) {
	text, err := os.ReadFile("sources.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "## The kinds and their cases")
	section, _, _ := strings.Cut(rest, "\n## ")
	known := declaredTests(t)
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(before, -1) {
		known[m[1]] = true
	}
	kinds := regexp.MustCompile(`(?m)^\| (\d+), [^|]+\| (.*) \|$`).FindAllStringSubmatch(section, -1)
	if len(kinds) != 16 {
		t.Errorf("%d kinds have a row, not 16", len(kinds))
	}
	for _, kind := range kinds {
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(kind[2], -1)
		if len(names) == 0 {
			t.Errorf("kind %s names no case", kind[1])
		}
		for _, name := range names {
			if !known[name[1]] {
				t.Errorf("kind %s: there is no case or test %q", kind[1], name[1])
			}
		}
	}
}
