package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// The pipeline of the documents: submit a list, follow it, and read it with jq.
func TestWatch_PipelineOfDocumentsWorks(t *testing.T) {
	testbed.RequireBinary(t, "jq")
	s, c := newSite(t), newCluster(t, true)
	if err := os.WriteFile(filepath.Join(c.dir, "urls.txt"), []byte(s.URL+"/quick.txt\n"+s.URL+"/missing.iso\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `cat urls.txt | aria add - -o id | aria watch - -o jsonl | jq -r '.id + " " + .status'`
	ctx, cancel := context.WithTimeout(t.Context(), testbed.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}, c.env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := string(out); strings.Count(text, " completed\n") != 1 || strings.Count(text, " failed\n") != 1 {
		t.Errorf("printed %q", text)
	}
}

// watch ends when the tasks have ended: with 1 if one failed, and with its reason.
func TestWatch_ExitCodeTellsOfFailures(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	ids, _, _ := c.run(t, "", "add", s.URL+"/quick.txt", s.URL+"/missing.iso")
	_, stderr, code := c.run(t, ids, "watch", "-")
	if code != 1 || !strings.Contains(stderr, "1 of 2 tasks did not complete") || !strings.Contains(stderr, "404 Not Found from 127.0.0.1") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if stdout, stderr, code := c.run(t, "", "watch", strings.Fields(ids)[0], "-o", "json"); code != 0 || !json.Valid([]byte(stdout)) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	missing := strings.Fields(ids)[1]
	history := regexp.MustCompile(`attempt 1 .* permanent on local after \S+s: 404 Not Found from 127\.0\.0\.1`)
	if stdout, stderr, _ := c.run(t, "", "show", missing[len(missing)-8:]); !history.MatchString(stdout) {
		t.Errorf("show: stdout %q, stderr %q", stdout, stderr)
	}
	if stdout, _, code := c.run(t, "", "ls", "-o", "json"); code != 0 || strings.Contains(stdout, `"history"`) {
		t.Errorf("ls: exit code %d, stdout %q", code, stdout)
	}
	if _, stderr, code := c.run(t, "", "watch", "no-such-task"); code != 1 || !strings.Contains(stderr, "no-such-task") {
		t.Errorf("an unknown id: exit code %d, stderr %q", code, stderr)
	}
}

// Workers are listed, drained, and given tasks again.
func TestWorkers_AreListedAndDrained(t *testing.T) {
	c := newCluster(t, true)
	stdout, stderr, code := c.run(t, "", "workers", "-o", "json")
	var list []struct{ ID, Status, Version string }
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 || len(list) != 1 || list[0].ID != "local" || list[0].Version != process.Version {
		t.Fatalf("exit code %d, stdout %q, stderr %q, %v", code, stdout, stderr, err)
	}
	table, stderr, _ := c.run(t, "", "workers")
	const header = "NAME STATUS SLOTS TASKS SPEED DISK-FREE HEALTH SEEN VERSION"
	if words := strings.Fields(table); !strings.HasPrefix(strings.Join(words, " "), header+" local ") || words[len(words)-1] != process.Version {
		t.Errorf("stdout %q, stderr %q", table, stderr)
	}
	for _, step := range []struct {
		args, want string
		code       int
	}{
		{"drain local -o template={{.status}}", "draining\n", 0},
		{"undrain local -o template={{.status}}", "online\n", 0},
		{"workers --status offline -o id", "", 0},
		{"rmworker local -o id", "", 1},
		{"drain nobody -o id", "", 1},
		{"drain nobody local -o id", "local\n", 1}, // the others are tried too
		{"undrain local nobody -o id", "local\n", 1},
		{"drain", "", 2},
	} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(step.args)...); code != step.code || stdout != step.want {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", step.args, code, stdout, stderr)
		}
	}
	if _, stderr, _ := c.run(t, "", "rmworker", "local"); !strings.HasSuffix(stderr, "or force its removal with --force\n") {
		t.Errorf("rmworker of a living worker: stderr %q", stderr)
	}
}
