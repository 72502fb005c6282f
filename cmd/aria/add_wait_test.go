package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// --wait ends with 0 if all completed, with 1 if one failed, and with 3 if the time is
// over; the ids are on stdout in each case.
func TestAdd_WaitTellsOutcomeByExitCode(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	list := filepath.Join(c.dir, "list.txt")
	if err := os.WriteFile(list, []byte(s.URL+"/listed.txt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args []string
		code int
		ids  int
	}{
		{[]string{"--wait", s.URL + "/quick.txt"}, 0, 1},
		{[]string{"--wait", "--input", list}, 0, 1},
		{[]string{"--wait=30s", s.URL + "/other.txt", s.URL + "/missing.iso"}, 1, 2},
		{[]string{"--wait=300ms", "--not-before", "1h", s.URL + "/later.txt"}, 3, 1},
		{[]string{"--wait=soon", s.URL + "/later.txt"}, 2, 0},
		{[]string{"--wait", "--dry-run", s.URL + "/later.txt"}, 2, 0},
	} {
		for _, form := range []string{"id", "json"} {
			stdout, stderr, code := c.run(t, "", append([]string{"add", "-o", form}, x.args...)...)
			if code != x.code || form == "id" && strings.Count(stdout, "\n") != x.ids {
				t.Errorf("add %v: exit code %d, stdout %q, stderr %q", x.args, code, stdout, stderr)
			}
			if form == "json" && code != 0 && !json.Valid([]byte(stderr)) {
				t.Errorf("add %v: stderr %q is no error object", x.args, stderr)
			}
		}
	}
}

// Records of --wait have the last states of the tasks, and an error lists the tasks that did
// not complete or have not ended.
func TestAdd_WaitPrintsLastStates(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	list := filepath.Join(c.dir, "list.txt")
	if err := os.WriteFile(list, []byte(s.URL+"/listed.txt\n"+s.URL+"/missing.iso\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	template := func(args ...string) []string {
		return append([]string{"add", "-o", "template={{.status}} {{.error.code}}"}, args...)
	}
	later := `{"url":"` + s.URL + `/later.txt","not_before":"2099-01-01T00:00:00Z"}` + "\n"
	gone := `{"id":"gone-1","url":"` + s.URL + `/missing.iso"}` + "\n"
	for _, x := range []struct {
		args   []string
		stdin  string
		code   int
		stdout string
		stderr []string
	}{
		{template("--wait", s.URL+"/quick.txt"), "", 0, "completed \n", nil},
		{template("--wait", "--input", list), "", 1, "completed \nfailed 409\n", []string{"1 of 2 tasks did not complete\n", ": failed: 404 Not Found"}},
		{template("--wait", "-"), gone, 1, "failed 409\n", []string{"aria: gone-1: failed: 404 Not Found"}},
		{template("--wait=2s", "-"), gone + later, 3, "failed 409\npending \n", []string{
			"aria: 1 of 2 tasks did not end within 2s; aria watch follows them\n", ": failed: 404 Not Found", ": pending: is not to start before 20",
		}},
		{[]string{"add", "--wait=300ms", "-o", "json", "-"}, later, 3, "", []string{`{"error":{"code":504,"message":"1 of 1 task did not end within 300ms`, `"message":"pending: `}},
		{template("--wait", "-"), "gopher://h.example/\n" + later, 2, " 400\npending \n", []string{"1 of 2 tasks refused\n"}},
	} {
		stdout, stderr, code := c.run(t, x.stdin, x.args...)
		if code != x.code || x.stdout != "" && stdout != x.stdout {
			t.Errorf("aria %q: exit code %d, stdout %q, stderr %q", x.args, code, stdout, stderr)
		}
		for _, text := range x.stderr {
			if !strings.Contains(stderr, text) {
				t.Errorf("aria %q does not say %q: %s", x.args, text, stderr)
			}
		}
	}
}

// A server gets its cookies of the file, and no others; none is shown anywhere.
func TestAdd_CookiesGoToTheirServer(t *testing.T) {
	c := newCluster(t, true)
	got := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- strings.TrimSpace(r.Header.Get("Cookie") + " " + r.Header.Get("X-Test"))
		_, _ = w.Write([]byte("x")) // the worker may have gone
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(c.dir, "cookies.txt")
	lines := "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tsecret-one\n" +
		"#HttpOnly_127.0.0.1\tFALSE\t/private\tFALSE\t0\tother\tsecret-two\nh.example\tTRUE\t/\tFALSE\t0\tforeign\tsecret-three\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := c.run(t, "", "add", "--wait", "--cookies", path, server.URL+"/a")
	if code != 0 {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if cookie := testbed.Receive(t, got); cookie != "session=secret-one" {
		t.Errorf("the server got %q", cookie)
	}
	header := filepath.Join(c.dir, "header.txt")
	if err := os.WriteFile(header, []byte("X-Test: yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := c.run(t, "", "get", "--cookies", path, "--header", "@"+header, "--label", "l=v", "--priority", "high", server.URL+"/got"); code != 0 {
		t.Errorf("get: exit code %d, stderr %q", code, stderr)
	}
	if sent := testbed.Receive(t, got); sent != "session=secret-one yes" {
		t.Errorf("with get the server got %q", sent)
	}
	if listed, _, _ := c.run(t, "", "ls", "--label", "l=v", "--priority", "high", "-o", "template={{.url}}"); listed != server.URL+"/got\n" {
		t.Errorf("the task of get is %q", listed)
	}
	if shown, _, _ := c.run(t, "", "show", strings.TrimSpace(stdout), "-o", "json"); strings.Contains(shown+stderr, "secret-") {
		t.Errorf("a cookie is shown: %q %q", shown, stderr)
	}
	in := `{"url":"` + server.URL + `/b","mirrors":["https://mirror.example/b"]}`
	if _, stderr, code := c.run(t, in, "add", "--cookies", path, "-"); code != 2 || !strings.Contains(stderr, "mirror.example") {
		t.Errorf("with a mirror elsewhere: exit code %d, stderr %q", code, stderr)
	}
	if err := os.WriteFile(path, []byte("session=secret-one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := c.run(t, "", "add", "--cookies", path, server.URL+"/c"); code != 2 || !strings.Contains(stderr, "line 1") || strings.Contains(stderr, "secret-") {
		t.Errorf("not a cookie file: exit code %d, stderr %q", code, stderr)
	}
}

// ls -w prints the list, then the selected tasks as they change.
func TestList_WatchPrintsChanges(t *testing.T) {
	c := newCluster(t, true)
	if _, stderr, code := c.run(t, "", "add", "--id", "one", "--label", "l=v", "--not-before", "2h", "https://h.example/a"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	term := c.terminal(t, 140, 12, "ls", "-w", "--label", "l=v")
	term.Wait("one", "pending")
	for _, args := range []string{"add --id hidden --not-before 2h https://h.example/b", "cancel one"} {
		if _, stderr, code := c.run(t, "", strings.Fields(args)...); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	if screen := term.Wait("canceled"); strings.Contains(screen, "hidden") {
		t.Errorf("another task is shown:\n%s", screen)
	}
	term.Press("C-c")
	if code := term.ExitCode(testbed.Patience); code != 130 {
		t.Errorf("exit code %d", code)
	}
}
