package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// postgresMigrations is the folder of the migrations of PostgreSQL.
const postgresMigrations = "pkg/repo/postgres/migrations"

// What the example of ARCHITECTURE.md writes by hand: the field in its struct, and the
// migration of each store with a schema.
const (
	exampleStruct    = "pkg/model/spec.go"
	exampleField     = "\tNote string `json:\"note,omitempty\" db:\"note\" check:\"max=200\"` // what the client wants to remember\n"
	exampleMigration = "-- +goose NO TRANSACTION\n-- +goose Up\n\n-- What the client wants to remember of the task.\nALTER TABLE tasks ADD COLUMN note TEXT NOT NULL DEFAULT '';\n"
	exampleBefore    = "type TaskSpec struct {\n"
)

// copyTree copies what the generator reads and writes below root.
func copyTree(t *testing.T, root string) {
	t.Helper()
	paths := []string{asyncAPIPath}
	for _, path := range outputs {
		paths = append(paths, path)
	}
	for _, pattern := range []string{"pkg/model/*.go", migrationsPath + "/*.sql", postgresMigrations + "/*.sql"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range found {
			path, err = filepath.Rel("../..", path)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, filepath.ToSlash(path))
		}
	}
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, path, text)
	}
}

func write(t *testing.T, root, path string, text []byte) {
	t.Helper()
	to := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// git runs git below root and returns its output.
func git(t *testing.T, root string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v", args[0], err)
	}
	return string(out)
}

// TestArchitecture_NewFieldChangesFewFiles adds the field of the example of ARCHITECTURE.md
// to a copy of the model, with its migration, and generates: the files that change and
// the numbers of their lines are those of the document.
func TestArchitecture_NewFieldChangesFewFiles(t *testing.T) {
	root := t.TempDir()
	copyTree(t, root)
	git(t, root, "init", "-q")
	git(t, root, "add", "-A")
	text, err := os.ReadFile(filepath.Join(root, exampleStruct))
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := bytes.Cut(text, []byte(exampleBefore))
	last, end, closed := bytes.Cut(rest, []byte("\n}\n"))
	if !found || !closed {
		t.Fatalf("%s has no %q", exampleStruct, exampleBefore)
	}
	write(t, root, exampleStruct, slices.Concat(head, []byte(exampleBefore), last, []byte("\n"+exampleField+"}\n"), end))
	written := map[string]string{} // the name of each migration in the document
	for _, dir := range []string{migrationsPath, postgresMigrations} {
		number, err := lastMigration(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("%s/%05d_note.sql", dir, number+1)
		written[path] = dir + "/0000N_note.sql" // the next number changes
		write(t, root, path, []byte(exampleMigration))
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	git(t, root, "add", "-AN")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(git(t, root, "diff", "--numstat")), "\n") {
		var added, removed int
		var path string
		if _, err := fmt.Sscan(line, &added, &removed, &path); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		what := "generated"
		if name, ok := written[path]; ok {
			path, what = name, "a migration"
		} else if path == exampleStruct {
			what = "the declaration"
		}
		got = append(got, fmt.Sprintf("%s +%d -%d %s", path, added, removed, what))
	}
	document, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "## Adding a field to a task")
	_, block, _ := strings.Cut(section, "```\n")
	block, _, _ = strings.Cut(block, "```")
	var want []string
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("ARCHITECTURE.md has\n%s\nwant\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}
