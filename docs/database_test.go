package docs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// blocks returns the code blocks of a language in database.md.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("database.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```\n").FindAllSubmatch(text, -1) {
		found = append(found, string(m[1]))
	}
	if len(found) == 0 {
		t.Fatalf("database.md has no %s", language)
	}
	return found
}

// The documented configuration loads.
func TestDatabaseDoc_ConfigurationLoads(t *testing.T) {
	dir := t.TempDir()
	json := blocks(t, "json")[0]
	exports := blocks(t, "sh")[0]
	t.Chdir(dir)
	for i, want := range []config.Database{{Type: "sqlite", Path: "/path/to/your/database.db"}, {Type: "memory", Path: "data/dispatcher.db"}} {
		var env []string
		for line := range strings.SplitSeq(strings.Split(exports, "\n\n")[i], "\n") {
			if pair, ok := strings.CutPrefix(line, "export "); ok {
				env = append(env, pair)
			}
		}
		c, err := config.LoadDispatcher(nil, env)
		if err != nil || c.Config.Database.Type != want.Type || c.Config.Database.Path != want.Path {
			t.Errorf("%v gives %+v, %v", env, c, err)
		}
	}
	if err := os.Mkdir("config", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("config/dispatcher.json", []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadDispatcher(nil, nil)
	if err != nil || c.Config.Database.Type != "sqlite" || c.Config.Database.Path != "data/dispatcher.db" {
		t.Errorf("the file gives %+v, %v", c, err)
	}
}

// TestDatabaseDoc_CommandsRun runs the document's shell blocks in
// their order, in one folder, against a dispatcher in memory. Each must succeed,
// and leave the store with what it held.
func TestDatabaseDoc_CommandsRun(t *testing.T) {
	testbed.RequireBinary(t, "sqlite3")
	testbed.RequireBinary(t, "jq")
	dir, bin := t.TempDir(), t.TempDir()
	if err := testbed.Build(bin, "../cmd/dispatcher", "../cmd/migrate"); err != nil {
		t.Fatal(err)
	}
	_, url := testbed.Dispatcher(t, filepath.Join(bin, "dispatcher"), t.TempDir())
	env := []string{"HOME=" + dir, "PATH=" + bin + ":" + os.Getenv("PATH"), "NATS_URL=" + url}
	path := filepath.Join(dir, "data", "dispatcher.db")
	want := fill(t, path)
	shell := func(script string) {
		t.Helper()
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "/path/to/", dir+"/path/to/"))
		cmd.Dir, cmd.Env = dir, env
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out.String())
		}
	}
	shell("migrate --source sqlite --target memory") // what the dispatcher holds
	ran := 0
	for _, block := range blocks(t, "sh") {
		if strings.Contains(block, "restore") || strings.Contains(block, "< dispatcher_backup.sql") || strings.Contains(block, "cp data/dispatcher.db.copy") {
			lose(t, path)
		}
		shell(block)
		for line := range strings.SplitSeq(block, "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				ran++
			}
		}
		if got := holds(t, path); got != want {
			t.Errorf("after\n%s\nthe file holds %v, not %v", block, got, want)
		}
	}
	for _, more := range []string{filepath.Join(dir, "path", "to", "database.db"), filepath.Join(dir, "other.db")} {
		if got := holds(t, more); got != want {
			t.Errorf("%s holds %v, not %v", more, got, want)
		}
	}
	if ran < 25 {
		t.Errorf("only %d lines were run", ran)
	}
}

// fill makes a store.
func fill(t *testing.T, path string) repo.Digest {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := copytest.Fill(t.Context(), s, 500, 10); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return holds(t, path)
}

// lose takes a task out of the store, so that a restore that does nothing is
// seen.
func lose(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("sqlite3", path, "UPDATE tasks SET attempt = attempt + 1 WHERE seq = 1").CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
}

// holds returns the digest of a store.
func holds(t *testing.T, path string) repo.Digest {
	t.Helper()
	s, err := sqlite.OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := copytest.Digest(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDatabaseDoc_GoCodeEqualsExample: the example is compiled and run, so what
// is quoted from it is right.
func TestDatabaseDoc_GoCodeEqualsExample(t *testing.T) {
	source, err := os.ReadFile("../pkg/repo/copy_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(source), "func ExampleMigrateMemoryToSQLite() {")
	if !found {
		t.Fatal("there is no example")
	}
	for line := range strings.SplitSeq(blocks(t, "go")[0], "\n") {
		before, after, ok := strings.Cut(example, strings.TrimSpace(line)+"\n")
		if !ok {
			t.Errorf("the example does not continue with %q (after %d bytes)", line, len(before))
			continue
		}
		if line != "" {
			example = after
		}
	}
}

// TestDatabaseDoc_NamesExistingTests checks the table at the end.
func TestDatabaseDoc_NamesExistingTests(t *testing.T) {
	text, err := os.ReadFile("database.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## What proves it\n")
	rows := 0
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "The document says" {
			continue
		}
		rows++
		if len(cells) != 2 {
			t.Errorf("%q has not two cells", line)
			continue
		}
		for name := range strings.SplitSeq(cells[1], ", ") {
			m := regexp.MustCompile("^`([a-z/]+)` ((Test|Benchmark|Example)\\w+)$").FindStringSubmatch(name)
			if m == nil {
				t.Errorf("%q is not a folder and a test", name)
			} else if !hasFunction(t, m[1], m[2]) {
				t.Errorf("%s has no %s", m[1], m[2])
			}
		}
	}
	if rows < 20 {
		t.Errorf("the table has only %d rows", rows)
	}
}

// hasFunction reports whether a test file in a folder of the module has a
// function.
func hasFunction(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
