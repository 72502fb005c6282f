package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// arrow matches one transition of the picture in scheduling.md.
var arrow = regexp.MustCompile(`(?m)^ +(\S+) --> (\S+?)(:|$)`)

func scheduling(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("scheduling.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The picture of the statuses shows exactly the transitions of the program.
func TestSchedulingDoc_PictureEqualsTransitions(t *testing.T) {
	drawn := map[string]bool{}
	for _, m := range arrow.FindAllStringSubmatch(scheduling(t), -1) {
		drawn[m[1]+" "+m[2]] = true
	}
	statuses := append([]model.Status{""}, model.Statuses...)
	for _, from := range statuses {
		for _, to := range model.Statuses {
			name := string(from)
			if from == "" {
				name = "[*]"
			}
			if drawn[name+" "+string(to)] != from.CanBecome(to) {
				t.Errorf("%s to %s: drawn %v, legal %v", name, to, drawn[name+" "+string(to)], from.CanBecome(to))
			}
		}
		if from != "" && drawn[string(from)+" [*]"] != from.Terminal() {
			t.Errorf("%s is drawn as an end: %v", from, !from.Terminal())
		}
	}
}

// declaredTests returns the names of all tests of the repository.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			known[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// Each test that scheduling.md names exists.
func TestSchedulingDoc_NamesExistingTests(t *testing.T) {
	known := declaredTests(t)
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(scheduling(t), -1)
	if len(named) == 0 {
		t.Error("scheduling.md names no test")
	}
	for _, m := range named {
		if !known[m[1]] {
			t.Errorf("scheduling.md: there is no test %s", m[1])
		}
	}
}
