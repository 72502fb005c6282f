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
	files, err := generate("../../pkg/model")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", outputs[name]))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run: go generate ./pkg/model (%v)", outputs[name], err)
		}
	}
}

// smallModel writes the model of testdata into dir, with old replaced.
func smallModel(t *testing.T, dir, old, replacement string) string {
	t.Helper()
	source, err := os.ReadFile("testdata/model.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(source, []byte(old)) {
		t.Fatalf("%q is not in the source", old)
	}
	text := bytes.Replace(source, []byte(old), []byte(replacement), 1)
	if err := os.WriteFile(filepath.Join(dir, "model.go"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A small model with a field of each kind gives the golden files.
func TestGenerate_MatchesGolden(t *testing.T) {
	files, err := generate(smallModel(t, t.TempDir(), "", ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range files {
		path := filepath.Join("testdata/golden", name+".txt")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs (%v); look at: go test ./internal/modelgen -update && git diff", path, err)
		}
	}
}

// A wrong declaration gives an error that names the field.
func TestGenerate_WrongDeclarationNamesField(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"no check", `db:"note" check:"max=200"`, `db:"note"`, "TaskSpec.Note: a stored text needs a tag check"},
		{"unknown type", "Note     string ", "Note     complex128 ", "TaskSpec.Note: there is no template"},
		{"set of two structs", `db:"failures"`, `db:"failures,set=Submit"`, "TaskState.Failures: the set Submit"},
		{"missing struct", "type Worker struct", "type Node struct", "there is no struct Worker"},
		{"no Go", "type Task struct {", "type Task struct", "expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := generate(smallModel(t, t.TempDir(), c.old, c.new)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The program writes each output below the root.
func TestRun_WritesOutputs(t *testing.T) {
	root := t.TempDir()
	for _, path := range outputs {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	smallModel(t, filepath.Join(root, "pkg/model"), "", "")
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	for _, path := range outputs {
		if text, err := os.ReadFile(filepath.Join(root, path)); err != nil || !bytes.HasPrefix(text, []byte("// Code generated ")) {
			t.Errorf("%s: %.40q, %v", path, text, err)
		}
	}
}
