package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/ariacli"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// The names in the examples, which a test replaces by those that are there.
const (
	exampleID     = "8bf2f1bf137e7d8c"
	exampleEnd    = "137e7d8c"
	exampleSite   = "https://example.org"
	exampleWorker = "worker-1"
)

// states are commands that bring a new task into the state that a verb needs.
var states = map[string][]string{"resume": {"pause"}, "retry": {"cancel"}, "rm": {"cancel"}}

// Every example in the help, and so in docs/cli.md and the man pages, works as written.
func TestExamples_WorkAsWritten(t *testing.T) {
	testbed.RequireBinary(t, "jq")
	s, c := newSite(t), newCluster(t, true)
	files := map[string]string{
		"downloads.txt":                        s.URL + "/quick.txt\n  out=renamed.txt\n",
		"urls.txt":                             s.URL + "/quick.txt\n" + s.URL + "/other.txt\n",
		"cookies.txt":                          "127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tsecret\n",
		".config/nats/context/production.json": `{"url": "` + c.url + `"}`,
	}
	for name, text := range files {
		path := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			if line = strings.TrimSpace(line); line != "" {
				c.example(t, s, cmd.Name(), line)
				ran++
			}
		}
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(ariacli.Root())
	if ran < 40 {
		t.Errorf("there are %d examples", ran)
	}
}

// example runs one example of a command.
func (c *cluster) example(t *testing.T, s *site, command, line string) {
	t.Helper()
	text := strings.ReplaceAll(line, exampleSite, s.URL)
	if strings.Contains(line, exampleEnd) || strings.Contains(line, "project=films") {
		id := c.exampleTask(t, s, command)
		text = strings.ReplaceAll(strings.ReplaceAll(text, exampleID, id), exampleEnd, id[len(id)-len(exampleEnd):])
	}
	if strings.Contains(line, "dlq") {
		text = strings.ReplaceAll(text, " 3", " "+c.deadLetter(t))
		if strings.HasSuffix(text, " 4") {
			text = strings.TrimSuffix(text, "4") + c.deadLetter(t)
		}
	}
	text = strings.ReplaceAll(text, exampleWorker, "local")
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), testbed.Patience)
	defer cancel()
	if command == "events" { // it has no end
		text = "exec timeout --preserve-status -s INT 1 " + text
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; "+text)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &out, &errOut
	cmd.Env = append([]string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + c.dir, "XDG_CONFIG_HOME=" + filepath.Join(c.dir, ".config"), "TMPDIR=" + c.dir}, c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	code := 0
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"events": 130, "rmworker": 1}[command] // the worker is alive
	if code != want || errOut.Len() == 0 && out.Len() == 0 && command == "add" {
		t.Errorf("%s\n(%s): exit code %d, want %d; stdout %q, stderr %q", line, text, code, want, &out, &errOut)
	}
	if command == "drain" {
		if _, stderr, code := c.run(t, "", "undrain", "local"); code != 0 {
			t.Fatal(stderr)
		}
	}
}

// exampleTask makes a task in the state that a command needs, and returns its id.
func (c *cluster) exampleTask(t *testing.T, s *site, command string) string {
	t.Helper()
	args := []string{"add", "--label", "project=films", s.URL + "/quick.txt"}
	if command != "watch" {
		args = append(args, "--not-before", "2h")
	}
	id, stderr, code := c.run(t, "", args...)
	for _, state := range states[command] {
		if code == 0 {
			_, stderr, code = c.run(t, "", state, strings.TrimSpace(id))
		}
	}
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return strings.TrimSpace(id)
}
