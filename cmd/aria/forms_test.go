package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
)

// isForm returns what is wrong with the output of a command in a form.
func isForm(form, kind, stdout string) error {
	switch {
	case kind == "none":
		if stdout != "" {
			return fmt.Errorf("there is output")
		}
	case form == "json" && kind == "array":
		var list []map[string]any
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) == 0 {
			return fmt.Errorf("no JSON array with objects: %w", err)
		}
	case form == "json", form == "jsonl":
		if stdout == "" {
			return fmt.Errorf("nothing")
		}
		for line := range strings.Lines(stdout) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil || len(object) == 0 {
				return fmt.Errorf("no JSON object on the line %q: %w", line, err)
			}
		}
	case form == "id":
		if stdout == "" || strings.ContainsAny(stdout, " {") {
			return fmt.Errorf("not one id a line")
		}
	case form == "template={{len .}}":
		if strings.Trim(stdout, "0123456789\n") != "" || stdout == "" {
			return fmt.Errorf("not one number a line")
		}
	default:
		if len(strings.Fields(stdout)) < 2 || strings.Contains(stdout, "\x1b") {
			return fmt.Errorf("no table without colours")
		}
	}
	return nil
}

// forms are the forms of the output.
var forms = []string{"table", "wide", "json", "jsonl", "id", "template={{len .}}"}

// formsCase is a command that is run in each form.
type formsCase struct {
	args string // ID is a new task of its own, DEAD a new dead letter
	kind string // of the JSON: array, object or stream
	code int
}

// succeeding are commands that work.
var succeeding = []formsCase{
	{"add --not-before 2h https://h.example/a", "array", 0},
	{"add --dry-run https://h.example/a", "array", 0},
	{"get SITE/quick.txt", "array", 0},
	{"ls", "array", 0},
	{"ls --all-clients", "array", 0},
	{"show ID", "array", 0},
	{"watch ID", "stream", 0},
	{"pause HELD", "array", 0},
	{"cancel HELD", "array", 0},
	{"update HELD --set-priority high", "array", 0},
	{"workers", "array", 0},
	{"drain local", "array", 0},
	{"undrain local", "array", 0},
	{"status", "object", 0},
	{"top", "object", 0},
	{"dlq ls", "array", 0},
	{"dlq show DEAD", "object", 0},
	{"dlq resubmit DEAD", "array", 0},
	{"dlq rm DEAD", "array", 0},
	{"doctor", "array", 0},
	{"version", "object", 0},
}

// failing are commands about what is not there.
var failing = []formsCase{
	{"show no-such-task", "", 1},
	{"watch no-such-task", "", 1},
	{"cancel no-such-task", "", 1},
	{"update no-such-task --set-priority low", "", 1},
	{"retry no-such-task --url https://h.example/b", "", 1},
	{"drain no-such-worker", "", 1},
	{"rmworker local", "", 1},
	{"dlq show 999999", "", 1},
	{"dlq rm 999999", "", 1},
	{"dlq rm 999999 DEAD", "array", 1}, // the others are tried too
	{"dlq show x", "none", 2},
	{"dlq rm", "none", 2},
	{"dlq rm --all", "none", 2},
	{"update HELD", "none", 2},
	{"events --type tasks", "none", 2},
	{"get https://h.example/a --checksum x", "", 2},
	{"add https://h.example/a --checksum x", "", 2},
	{"ls --prefix other", "", 5},
	{"show x --prefix other", "", 5},
	{"events --all-clients --type worker --server nats://127.0.0.1:1 --timeout 1s", "none", 5},
	{"doctor --server nats://127.0.0.1:1 --timeout 1s", "", 5},
	{"ls --unknown", "none", 2},
}

// fill replaces the words of a case by names that are there.
func (c *cluster) fill(t *testing.T, s *site, args string) []string {
	t.Helper()
	if strings.Contains(args, "HELD") || strings.Contains(args, "ID") {
		url := []string{"--not-before", "2h", "https://h.example/held"}
		if strings.Contains(args, "ID") {
			url = []string{s.URL + "/quick.txt"}
		}
		id, stderr, code := c.run(t, "", append([]string{"add"}, url...)...)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		args = strings.NewReplacer("HELD", strings.TrimSpace(id), "ID", strings.TrimSpace(id)).Replace(args)
	}
	if strings.Contains(args, "DEAD") || strings.Contains(args, "dlq") && !strings.Contains(args, "999999") {
		args = strings.ReplaceAll(args, "DEAD", c.deadLetter(t))
	}
	return strings.Fields(strings.ReplaceAll(args, "SITE", s.URL))
}

// deadLetter makes a dead letter and returns its sequence.
func (c *cluster) deadLetter(t *testing.T) string {
	t.Helper()
	js, err := jetstream.New(testbus.Connect(t, c.url))
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := c.run(t, "", "dlq", "ls", "-o", "id")
	if _, err := js.Publish(testbed.Context(t), "aria.v1.intake.me.submit", []byte(`{"url":"gopher://h/"}`)); err != nil {
		t.Fatal(err)
	}
	var ids []string
	testbed.Eventually(t, "a dead letter", func() bool {
		after, _, _ := c.run(t, "", "dlq", "ls", "-o", "id")
		ids = strings.Fields(after)
		return len(ids) > len(strings.Fields(before))
	})
	return ids[len(ids)-1]
}

// Each command prints in each form what the form says, on stdout only.
func TestForms_StdoutIsWhatFormSays(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	for _, x := range succeeding {
		for _, form := range forms {
			args := append(c.fill(t, s, x.args), "-o", form)
			stdout, stderr, code := c.run(t, "", args...)
			if err := isForm(form, x.kind, stdout); code != x.code || err != nil {
				t.Errorf("aria %s: exit code %d, %v; stdout %q, stderr %q", strings.Join(args, " "), code, err, stdout, stderr)
			}
			if strings.HasPrefix(form, "json") && stderr != "" {
				t.Errorf("aria %s: stderr %q", strings.Join(args, " "), stderr)
			}
		}
	}
}

// An error is one line on stderr: with JSON one object, whose code tells programs why.
func TestForms_ErrorsAreOnStderr(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	for _, x := range failing {
		for _, form := range forms {
			args := append(c.fill(t, s, x.args), "-o", form)
			stdout, stderr, code := c.run(t, "", args...)
			if err := isForm(form, x.kind, stdout); code != x.code || x.kind != "" && err != nil {
				t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", strings.Join(args, " "), code, stdout, stderr)
			}
			if !strings.HasPrefix(form, "json") {
				if !strings.HasPrefix(stderr, "aria: ") && !strings.Contains(stderr, "\naria: ") {
					t.Errorf("aria %s: stderr %q", strings.Join(args, " "), stderr)
				}
				continue
			}
			var failure struct {
				Error struct {
					Code    int
					Message string
				}
			}
			if err := json.Unmarshal([]byte(stderr), &failure); err != nil || failure.Error.Code < 400 || failure.Error.Message == "" {
				t.Errorf("aria %s: stderr %q is no error object: %v", strings.Join(args, " "), stderr, err)
			}
		}
	}
}

// The last characters of an id name a task, unless two tasks end so.
func TestShow_FindsTaskByEndOfID(t *testing.T) {
	c := newCluster(t, true)
	for _, id := range []string{"first-abcdef", "second-abcdef", "third-uvwxyz"} {
		if _, stderr, code := c.run(t, "", "add", "--id", id, "--not-before", "2h", "https://h.example/"+id); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	stdout, stderr, code := c.run(t, "", "show", "uvwxyz")
	if code != 0 || !strings.Contains(stdout, "third-uvwxyz") || !strings.Contains(stdout, "not before") || !strings.Contains(stdout, "aria watch third-uvwxyz") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	stdout, stderr, code = c.run(t, "", "cancel", "abcdef")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "first-abcdef") || !strings.Contains(stderr, "second-abcdef") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for _, x := range []struct {
		stdin, args, stdout string
		code                int
	}{
		{"", "pause uvwxyz", "third-uvwxyz\n", 0},
		{"uvwxyz\nfirst-abcdef\nabcdef\n", "update - --set-priority high", "third-uvwxyz\nfirst-abcdef\n", 1},
		{"uvwxyz\n", "resume -", "third-uvwxyz\n", 0},
		{"", "cancel uvwxyz first-abcdef", "third-uvwxyz\nfirst-abcdef\n", 0},
		{"uvwxyz\n", "watch - -o template={{.id}}", "third-uvwxyz\n", 1},
		{"", "retry uvwxyz --url https://h.example/new", "third-uvwxyz\n", 0},
		{"this-id-is-whole-uvwxyz\nlong-enough-to-be-whole\n", "cancel -", "", 1},
	} {
		if stdout, stderr, code = c.run(t, x.stdin, strings.Fields(x.args)...); code != x.code || stdout != x.stdout {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", x.args, code, stdout, stderr)
		}
	}
}

// An id that no task has is said to be that of no task, as short and as whole as it is.
func TestShow_UnknownIDIsNamed(t *testing.T) {
	c := newCluster(t, true)
	for _, x := range []struct{ args, want string }{
		{"show 00000000000000000000000000", "aria: there is no task 00000000000000000000000000\n"},
		{"show abcdef", "aria: there is no task abcdef\n"},
		{"show abc", "aria: there is no task abc\n"},
		{"cancel 00000000000000000000000000", "aria: there is no task 00000000000000000000000000\n"},
		{"cancel abcdef abcde", "aria: cancel: 2 of 2 tasks refused\n  there is no task abcdef\n  there is no task abcde\n"},
		{"watch abcdef", "aria: there is no task abcdef\n"},
	} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(x.args)...); code != 1 || stdout != "" || stderr != x.want {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q, want %q", x.args, code, stdout, stderr, x.want)
		}
	}
}

// update changes a selection, and says what it changed.
func TestUpdate_ChangesSelection(t *testing.T) {
	c := newCluster(t, true)
	addTasks(t, c, 3)
	stdout, stderr, code := c.run(t, "", "update", "--text", "h.example", "--set-priority", "urgent", "--set-label", "l=v", "-y")
	if code != 0 || strings.Count(stdout, "\n") != 3 {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if stdout, _, _ := c.run(t, "", "ls", "--priority", "urgent", "--label", "l=v", "-o", "id"); strings.Count(stdout, "\n") != 3 {
		t.Errorf("%q have the new priority and label", stdout)
	}
	header := filepath.Join(c.dir, "header.txt")
	if err := os.WriteFile(header, []byte("Authorization: Bearer secret-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	change := []string{
		"update", "-y", "--text", "h.example", "--set-label", "", "--set-tag", "a=b", "--set-option", "split=4", "--set-option", "header=@" + header,
		"--set-url", "https://h.example/new", "--set-mirror", "https://m.example/new", "--set-not-before", "2h",
	}
	if stdout, stderr, code := c.run(t, "", change...); code != 0 || strings.Count(stdout, "\n") != 3 {
		t.Errorf("all fields: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	stdout, _, _ = c.run(t, "", "ls", "-o", "template={{.url}} {{.mirrors}} {{.labels}} {{.tags}} {{.options.split}} {{len .options.header}}", "-n", "1")
	if want := "https://h.example/new [https://m.example/new]  map[a:b] 4 "; !strings.HasPrefix(stdout, want) {
		t.Errorf("after all fields were set: %q, want %q", stdout, want)
	}
	if stdout, stderr, code := c.run(t, "", "update", "-y", "--text", "h.example", "--set-not-before", "0s"); code != 0 || strings.Count(stdout, "\n") != 3 {
		t.Errorf("without a time: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if stdout, _, _ = c.run(t, "", "ls", "-o", "template={{.not_before}} {{.priority}}"); stdout != " urgent\n urgent\n urgent\n" {
		t.Errorf("without a time: %q", stdout)
	}
	for _, x := range []struct{ args, says string }{
		{"--set-option header=Cookie:1", "--set-option header takes @FILE"},
		{"--set-option http-passwd=x", "--set-option http-passwd takes @FILE"},
		{"--set-option on-download-complete=x", "on-download-complete"},
		{"--set-option split", "NAME=VALUE"},
		{"--set-label l", "NAME=VALUE"},
		{"--set-priority 9", "--set-priority"},
		{"--set-not-before soon", "--set-not-before"},
	} {
		stdout, stderr, code := c.run(t, "", append([]string{"update", "x"}, strings.Fields(x.args)...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, x.says) {
			t.Errorf("update x %s: exit code %d, stdout %q, stderr %q", x.args, code, stdout, stderr)
		}
	}
}

// Scripts of completion work.
func TestCompletion_ScriptsAreOfShells(t *testing.T) {
	c := newCluster(t, true)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if stdout, stderr, code := c.run(t, "", "completion", shell); code != 0 || stderr != "" || !strings.Contains(stdout, "__complete") {
			t.Errorf("%s: exit code %d, %d bytes, stderr %q", shell, code, len(stdout), stderr)
		}
	}
}
