package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// run runs aria without a terminal, and returns what it printed and its exit code.
func (c *cluster) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(testbed.Context(t), filepath.Join(binaries, "aria"), args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}, c.env...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// A person sees bars while files come, then where they are and which failed, with the
// HTTP status and the host.
func TestGet_DrawsBarsOnTerminal(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	term := c.terminal(t, 120, 24, "get", s.URL+"/slow/one.iso", s.URL+"/missing.iso", s.URL+"/quick.txt")
	term.Wait("one.iso", "512.0 KiB / 1.0 MiB", "50 %", "quick.txt", "done", "missing.iso", "failed", "1 of 3 completed, 1 failed, 1 downloading")
	close(s.release)
	if code := term.ExitCode(testbed.Patience); code != 1 {
		t.Errorf("exit code %d, want 1: one has failed", code)
	}
	screen := term.Wait("2 of 3 completed", "404 Not Found from 127.0.0.1", "local:")
	if !strings.Contains(screen, "/one.iso") {
		t.Errorf("the screen does not say where the file is:\n%s", screen)
	}
}

// Without a terminal, stdout has the paths of the files only, and a failure names the
// HTTP status and the host, whatever the engine of the worker.
func TestGet_SaysWhereFilesAreAndWhyNot(t *testing.T) {
	for engine, noAria2 := range map[string]bool{"aria2": false, "direct": true} {
		t.Run(engine, func(t *testing.T) {
			s, c := newSite(t), newCluster(t, noAria2)
			stdout, stderr, code := c.run(t, "", "get", s.URL+"/quick.txt")
			worker, path, _ := strings.Cut(strings.TrimSuffix(stdout, "\n"), ":")
			content, err := os.ReadFile(path)
			if code != 0 || worker != "local" || err != nil || string(content) != "content of /quick.txt" {
				t.Fatalf("exit code %d, stdout %q, stderr %q, file %q, %v", code, stdout, stderr, content, err)
			}
			if !strings.Contains(stderr, "quick.txt: completed\n") || strings.Contains(stderr, "\x1b") {
				t.Errorf("stderr is not lines: %q", stderr)
			}
			stdout, stderr, code = c.run(t, "", "get", s.URL+"/missing.iso")
			if code != 1 || stdout != "" || !strings.Contains(stderr, "404 Not Found from 127.0.0.1") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			stdout, stderr, code = c.run(t, "", "get", "-o", "json", "--progress", "plain", s.URL+"/quick.txt", s.URL+"/missing.iso", "gopher://h/f")
			var records []map[string]any
			var failure struct {
				Error struct {
					Code    int
					Message string
					Errors  []map[string]any
				}
			}
			if err := errors.Join(json.Unmarshal([]byte(stdout), &records), json.Unmarshal([]byte(stderr), &failure)); err != nil {
				t.Fatalf("%v: stdout %q, stderr %q", err, stdout, stderr)
			}
			if code != 2 || len(records) != 2 || records[0]["status"] != "completed" || records[1]["status"] != "failed" || len(failure.Error.Errors) != 2 {
				t.Errorf("exit code %d, %v, %+v", code, records, failure)
			}
		})
	}
}

// Usage is refused with exit code 2, and a missing server with 5.
func TestGet_ExitCodesTellWhy(t *testing.T) {
	c := &cluster{dir: t.TempDir(), env: []string{"NATS_URL=nats://127.0.0.1:1", "ARIA_CLIENT=me"}}
	for _, x := range []struct {
		args string
		want int
	}{
		{"get", 2},
		{"get --out x http://h/a http://h/b", 2},
		{"get --progress bars http://h/a", 2},
		{"get --timeout 500ms http://h/a", 5},
	} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(x.args)...); code != x.want || stdout != "" || stderr == "" {
			t.Errorf("aria %s: exit code %d, want %d; stdout %q, stderr %q", x.args, code, x.want, stdout, stderr)
		}
	}
}
