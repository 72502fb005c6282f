package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// The generated files in the repository are what the generator makes of the declarations.
func TestOutputs_AreCurrent(t *testing.T) {
	files, err := generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run: go generate ./pkg/model (%v)", path, err)
		}
	}
}

// smallModel writes the model and the document of testdata below root, with old replaced.
func smallModel(t *testing.T, root, old, replacement string) string {
	t.Helper()
	found := old == ""
	for to, from := range map[string]string{
		"pkg/model/model.go": "model.txt", asyncAPIPath: "asyncapi.yaml", migrationsPath + "/00002_note.sql": "note.sql",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(text, []byte(old))
		to = filepath.Join(root, to)
		err = os.MkdirAll(filepath.Dir(to), 0o700)
		if err == nil {
			err = os.WriteFile(to, bytes.Replace(text, []byte(old), []byte(replacement), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("%q is not in testdata", old)
	}
	return root
}

// A small model with a field of each kind gives the golden files.
func TestGenerate_MatchesGolden(t *testing.T) {
	files, err := generate(smallModel(t, t.TempDir(), "", ""))
	if err != nil {
		t.Fatal(err)
	}
	for path, got := range files {
		golden := filepath.Join("testdata/golden", strings.ReplaceAll(path, "/", "-")+".txt")
		if *update {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs (%v); look at: go test ./internal/modelgen -update && git diff", golden, err)
		}
	}
}

// A wrong declaration gives an error that names the field.
func TestGenerate_WrongDeclarationNamesField(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, want string }{
		{"no check", `db:"note" check:"max=200"`, `db:"note"`, "TaskSpec.Note: a stored text needs a tag check"},
		{"unknown type", "Note     string ", "Note     complex128 ", "TaskSpec.Note: there is no template"},
		{"no schema", "Uptime float64", "Uptime complex128", "HealthMetrics.Uptime: the type complex128 has no schema"},
		{"set of two structs", `db:"failures"`, `db:"failures,set=Submit"`, "TaskState.Failures: the set Submit"},
		{"missing struct", "type Worker struct", "type Node struct", "there is no struct Worker"},
		{"no Go", "type Task struct {", "type Task struct", "expected"},
		{"schema without struct", "generated from TaskError", "generated from Mistake", "schema TaskError: there is no struct Mistake"},
		{"block without end", "      # end of the generated properties\n", "", "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := generate(smallModel(t, t.TempDir(), c.old, c.replacement)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The program writes each output below the root.
func TestRun_WritesOutputs(t *testing.T) {
	root := smallModel(t, t.TempDir(), "", "")
	for _, path := range outputs {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	for _, path := range outputs {
		if text, err := os.ReadFile(filepath.Join(root, path)); err != nil || !bytes.HasPrefix(text, []byte("// Code generated ")) {
			t.Errorf("%s: %.40q, %v", path, text, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, asyncAPIPath)); err != nil || !bytes.Contains(text, []byte("        note: {type: string")) {
		t.Errorf("%s: %v", text, err)
	}
}

// A file without a number is not a migration.
func TestLastMigration_NumberRequired(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00002_b.sql", "00001_a.sql"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := lastMigration(dir); n != 2 || err != nil {
		t.Errorf("%d, %v, want 2", n, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.sql"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lastMigration(dir); err == nil || !strings.Contains(err.Error(), "notes.sql") {
		t.Errorf("%v, want an error that names notes.sql", err)
	}
}
