package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each message that the table of operations.md quotes is one that the programs
// can print: its parts between the ellipses are in the source.
func TestTroubleshoot_QuotedMessagesAreInTheSource(t *testing.T) {
	text, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "## Troubleshoot\n")
	if !found {
		t.Fatal("operations.md has no section Troubleshoot")
	}
	source := sourceText(t, "../internal", "../pkg", "../cmd")
	quoted := regexp.MustCompile("`([^`]+)`")
	messages := 0
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[0], -1) {
			messages++
			for part := range strings.SplitSeq(m[1], "…") {
				if part = strings.TrimSpace(part); part != "" && !strings.Contains(source, part) {
					t.Errorf("%q: no program prints %q", m[0], part)
				}
			}
		}
	}
	if messages < 10 {
		t.Errorf("only %d quoted messages were found", messages)
	}
}

// sourceText returns all Go files of the folders, without tests, as one text in
// which the string literals of split lines are joined.
func sourceText(t *testing.T, folders ...string) string {
	t.Helper()
	var b strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			b.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
