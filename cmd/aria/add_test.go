package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ids are on stdout, errors on stderr, and stdin is read at - only.
func TestAdd_PrintsIDsAndReadsStdinAtDash(t *testing.T) {
	c := newCluster(t, true)
	stdout, stderr, code := c.run(t, "http://h.example/never\n", "add", "--not-before", "2h", "https://h.example/a", "https://h.example/b")
	if ids := strings.Fields(stdout); code != 0 || len(ids) != 2 || stderr != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	in := "https://h.example/c\n\n{\"id\":\"from-json\",\"url\":\"https://h.example/d\",\"priority\":\"high\"}\n"
	stdout, stderr, code = c.run(t, in, "add", "-", "--not-before", "2h", "--label", "l=v", "-o", "jsonl")
	if code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, `"from-json"`) {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for in, want := range map[string]string{
		"gopher://h/\n":                        "gopher://h/: url: ",
		"{\"url\":7}\n":                        "line 1 of stdin: url: must be a string, not a JSON number",
		"{\"url\":\"https://h/\",\"x\":1}":     "line 1 of stdin: \"x\": there is no such field",
		"{\"url\":\"https://h/\"} {}":          "line 1 of stdin: something follows the JSON object, at byte 20",
		"{\"url\":\"https://h/\"\n":            "line 1 of stdin: is not JSON: ",
		"\n{\"url\":\"https://h/\",\"url\":1}": "line 2 of stdin: url: is given twice",
	} {
		stdout, stderr, code := c.run(t, in, "add", "-", "-o", "json")
		var list []any
		var failure struct{ Error struct{ Message string } }
		if code != 2 || stdout != "" && json.Unmarshal([]byte(stdout), &list) != nil || json.Unmarshal([]byte(stderr), &failure) != nil || !strings.HasPrefix(failure.Error.Message, want) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, want %q", in, code, stdout, stderr, want)
		}
	}
	for _, args := range []string{"add -", "add --input -", "cancel -", "watch -"} {
		if stdout, stderr, code := c.run(t, "\n", strings.Fields(args)...); code != 0 || stdout != "" || !strings.HasSuffix(stderr, "is empty: there is nothing to do\n") {
			t.Errorf("aria %s of nothing: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	for _, args := range []string{"add", "add --id x https://h/a https://h/b", "add --batch b https://h/a", "add --input f https://h/a", "add --header X:1 https://h/a", "add --priority 9 https://h/a", "add --not-before soon https://h/a"} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(args)...); code != 2 || stdout != "" || stderr == "" {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// A list of 100,000 lines is submitted with a bar, and once, however often the command
// is run.
func TestAddInput_ShowsBarAndRunsTwice(t *testing.T) {
	c := newCluster(t, true)
	const n = 100_000
	notBefore := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339) // nothing begins
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "https://h%d.example/file%d\n", i%50, i)
	}
	path := filepath.Join(c.dir, "list.txt")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	term := c.terminal(t, 120, 10, "add", "--not-before", notBefore, "--input", path)
	term.Wait("submit: ", " of 100,000 tasks")
	if code := term.ExitCode(time.Minute); code != 0 {
		t.Errorf("exit code %d", code)
	}
	term.Wait("submit: 100,000 of 100,000 tasks", "100,000 tasks submitted as batch ")
	status, _, _ := c.run(t, "", "status", "-o", "template={{.total_tasks}}")
	stdout, stderr, code := c.run(t, "", "add", "--input", path, "-q", "--not-before", notBefore)
	if again, _, _ := c.run(t, "", "status", "-o", "template={{.total_tasks}}"); again != status || again != "100000\n" {
		t.Errorf("%s tasks after the first run, %s after the second", status, again)
	}
	if code != 0 || stderr != "" || strings.Count(stdout, "\n") != n {
		t.Errorf("exit code %d, %d ids, stderr %q", code, strings.Count(stdout, "\n"), stderr)
	}
}
