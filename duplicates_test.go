package dispatcher_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A run of equal lines is a duplicate if it has this length, and this many of its lines
// have a letter: braces alone are equal everywhere.
const (
	duplicateLines     = 6
	duplicateWordLines = 4
)

// unmerged are pairs of places whose equal lines are not merged, by prefixes of their paths.
// Remove a pair when its lines are merged: one that is not found is an error.
var unmerged = []struct{ first, second, why string }{
	{"bench/", "internal/testbed/testpostgres/", "the benchmark has a go.mod of its own"},
}

// codeLine is a line of code, without the space around it.
type codeLine struct {
	number int
	text   string
}

// codeLines returns the lines of a Go file or JavaScript module without blank lines,
// comments of their own lines, the package clause and imports. It returns nil for a
// generated file.
func codeLines(name string, content []byte) ([]codeLine, error) {
	if path.Ext(name) != ".go" {
		return linesOfCode(content, 0, "//", "import "), nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, content, parser.ParseComments|parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	begin := fset.Position(file.Name.End()).Line
	for _, d := range file.Decls {
		begin = max(begin, fset.Position(d.End()).Line)
	}
	return linesOfCode(content, begin, "//"), nil
}

// linesOfCode returns the lines from the index begin that are neither blank nor start with
// one of the prefixes.
func linesOfCode(content []byte, begin int, without ...string) []codeLine {
	var lines []codeLine
	for i, text := range strings.Split(string(content), "\n") {
		text = strings.TrimSpace(text)
		left := slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
		if i >= begin && text != "" && !left {
			lines = append(lines, codeLine{i + 1, text})
		}
	}
	return lines
}

// duplicates holds where each run of duplicateLines lines was first seen.
type duplicates map[[duplicateLines]string]string

// add adds the lines of a file, and returns for each run that was added before its first
// place, this one, and its first line, separated by zero bytes.
func (d duplicates) add(name string, lines []codeLine) (found []string) {
	for i := 0; i+duplicateLines <= len(lines); i++ {
		var run [duplicateLines]string
		words := 0
		for n := range run {
			run[n] = lines[i+n].text
			if strings.ContainsFunc(run[n], unicode.IsLetter) {
				words++
			}
		}
		if words < duplicateWordLines {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, lines[i].number)
		if first, again := d[run]; again {
			found = append(found, fmt.Sprintf("%s\x00%s\x00%s", first, at, run[0]))
		} else {
			d[run] = at
		}
	}
	return found
}

// TestDuplicates_NoSixEqualLines checks that no six lines of code stand twice in the tree,
// outside Go tests and generated files. Packages that only tests import count too.
func TestDuplicates_NoSixEqualLines(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z", "*.go", "*.js", "*.mjs", ":!:*/vendor/*").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked, seen, used := 0, duplicates{}, make([]bool, len(unmerged))
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(path.Dir(name), "testdata") {
			continue
		}
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) { // deleted and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, err := codeLines(name, content)
		if err != nil {
			t.Error(err)
		}
		checked++
	runs:
		for _, run := range seen.add(name, lines) {
			part := strings.Split(run, "\x00")
			for i, u := range unmerged {
				if strings.HasPrefix(part[0], u.first) && strings.HasPrefix(part[1], u.second) {
					used[i] = true
					continue runs
				}
			}
			t.Errorf("%s repeats the lines from %s: %s", part[1], part[0], part[2])
		}
	}
	for i, u := range unmerged {
		if !used[i] {
			t.Errorf("%s and %s are merged: remove them from unmerged", u.first, u.second)
		}
	}
	if checked < 300 {
		t.Errorf("only %d files were checked", checked)
	}
}

// TestDuplicates_RunsAreFound checks which equal lines are a duplicate: other space,
// blank lines and comments between them make no difference.
func TestDuplicates_RunsAreFound(t *testing.T) {
	const (
		head = "package p\n\nimport (\n\t\"a\"\n\t\"b\"\n\t\"c\"\n\t\"d\"\n)\n\n"
		body = "a()\nb()\nif c {\nd()\n}\ne()\n"
	)
	for name, c := range map[string]struct {
		first, second string
		want          int
	}{
		"equal":        {"func f() {\n" + body + "}\n", "func g() {\n" + body + "}\n", 2},
		"with comment": {"func f() {\n" + body + "}\n", "func g() {\n\t" + strings.ReplaceAll(body, "\n", "\n\n\t// why\n\t") + "x()\n}\n", 1},
		"five":         {"func f() {\n" + strings.TrimPrefix(body, "a()\n") + "x()\n}\n", "func g() {\n" + strings.TrimPrefix(body, "a()\n") + "y()\n}\n", 0},
		"imports":      {"var a = 1\n", "var b = 1\n", 0},
		"braces":       {"func f() {\n" + strings.Repeat("}\n", 8), "func g() {\n" + strings.Repeat("}\n", 8), 0},
		"generated":    {"func f() {\n" + body + "}\n", "", 0},
	} {
		seen := duplicates{}
		var found []string
		for i, code := range []string{c.first, c.second} {
			content := []byte(head + code)
			if code == "" {
				content = bytes.Join([][]byte{[]byte("// Code generated by x. DO NOT EDIT.\n"), []byte(head + c.first)}, []byte("\n"))
			}
			lines, err := codeLines("x.go", content)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, seen.add(fmt.Sprint("file", i), lines)...)
		}
		if len(found) != c.want {
			t.Errorf("%s: found %q, want %d", name, found, c.want)
		}
	}
}
