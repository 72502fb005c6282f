package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// site serves files: /slow/… in small parts until release is closed, /missing 404.
type site struct {
	*httptest.Server
	release chan struct{}
}

const slowSize = 1 << 20

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{release: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow/"):
			w.Header().Set("Content-Length", fmt.Sprint(slowSize))
			_, _ = w.Write(make([]byte, slowSize/2)) // the client may have gone
			_ = http.NewResponseController(w).Flush()
			select {
			case <-s.release:
			case <-r.Context().Done():
				return
			}
			_, _ = w.Write(make([]byte, slowSize/2))
		case strings.HasPrefix(r.URL.Path, "/missing"):
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, "content of "+r.URL.Path)
		}
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// cluster is a dispatcher with a worker in one process.
type cluster struct {
	dir, url string
	env      []string // for aria
}

var natsURL = regexp.MustCompile(`NATS on (nats://\S+)`)

// newCluster starts dispatcher -dev; noAria2 makes its worker use the direct engine.
func newCluster(t *testing.T, noAria2 bool) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir()}
	cmd := exec.Command(filepath.Join(binaries, "dispatcher"), "-dev", "-nats-listen", "127.0.0.1:-1", "-http-listen=")
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}
	if noAria2 {
		cmd.Env[0] = "PATH=" + t.TempDir()
	} else {
		testbed.RequireBinary(t, "aria2c")
	}
	p := testbed.Start(t, cmd)
	testbed.Eventually(t, "a dispatcher with a worker", func() bool { return strings.Contains(p.Out.String(), "still serving") })
	c.url = natsURL.FindStringSubmatch(p.Out.String())[1]
	operator, err := client.NewOperator(testbus.Connect(t, c.url))
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "a worker", func() bool {
		status, err := operator.Status(testbed.Context(t))
		return err == nil && status.ActiveWorkers == 1
	})
	c.env = []string{"NATS_URL=" + c.url, "ARIA_CLIENT=me"}
	return c
}

// terminal starts aria on a terminal.
func (c *cluster) terminal(t *testing.T, columns, rows int, args ...string) *testbed.Terminal {
	t.Helper()
	return testbed.StartTerminal(t, columns, rows, c.dir, c.env, filepath.Join(binaries, "aria"), args...)
}

// submit submits URLs as the client of aria.
func (c *cluster) submit(t *testing.T, ids, urls []string) {
	t.Helper()
	nc := testbus.Connect(t, c.url)
	me, err := client.New(nc, "me")
	if err != nil {
		t.Fatal(err)
	}
	for i, url := range urls {
		if _, err := me.Submit(testbed.Context(t), &model.TaskSpec{ID: ids[i], URL: url}); err != nil {
			t.Fatal(err)
		}
	}
}

// Keys move, select, pause, ask before they cancel, filter, and quit; the tables are
// live.
func TestTop_KeysActOnLiveTables(t *testing.T) {
	s, c := newSite(t), newCluster(t, true)
	c.submit(t, []string{"task-one", "task-two", "task-bad"}, []string{s.URL + "/slow/one.iso", s.URL + "/slow/two.iso", s.URL + "/missing.iso"})
	term := c.terminal(t, 140, 30, "top")
	term.Wait("Workers, page 1", "local", "Tasks of me, page 1, by newest", "> task-bad", "404 Not Found from 127.0.0.1", "2 downloading")
	term.Press("Down", "Down")
	term.Wait("> task-one")
	term.Press("Space", "c")
	term.Wait("cancel 1 task? [y/N]", ">*task-one")
	term.Press("n")
	term.Wait("nothing was done", "task-one  downloading")
	term.Press("c", "y")
	term.Wait("cancel: 1 task done", "task-one  canceled")
	term.Press("Up", "p")
	term.Wait("task-two  paused")
	term.Press("r")
	term.Wait("resume: 1 task done")
	close(s.release)
	term.Wait("task-two  completed     100")
	term.Press("f")
	term.Wait("filter: _")
	term.Press(strings.Split("status=failed", "")...)
	term.Press("Enter")
	term.Wait("filter status=failed", "> task-bad")
	if screen := term.Text(); strings.Contains(screen, "task-two") {
		t.Errorf("the filter shows another task:\n%s", screen)
	}
	term.Press("Enter")
	term.Wait("attempt", "error", "any key returns")
	term.Press("x", "?")
	term.Wait("space a       select the row")
	term.Press("x", "Tab", "d")
	term.Wait("drain 1 worker? [y/N]")
	term.Press("y")
	term.Wait("local                 draining")
	term.Press("q")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Ctrl-C ends the screen, which a terminal without cursor movement does not get.
func TestTop_EndsOnInterruptAndOnDumbTerminals(t *testing.T) {
	c := newCluster(t, true)
	term := c.terminal(t, 80, 12, "top")
	term.Wait("Tasks of me", "none")
	term.Press("C-c")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	term = testbed.StartTerminal(t, 160, 24, c.dir, c.env, "env", "TERM=dumb", filepath.Join(binaries, "aria"), "top")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	term.Wait("workers 1/1", "local", "ID        STATUS")
}

// dispatcher -dev draws bars on a terminal, and a total below several.
func TestDev_DrawsBarsOnTerminal(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	term := testbed.StartTerminal(t, 120, 24, dir, nil, filepath.Join(binaries, "dispatcher"),
		"-dev", "-exit", "-nats-listen", "127.0.0.1:-1", "-http-listen=", s.URL+"/slow/one.iso", s.URL+"/missing.iso", s.URL+"/quick.txt")
	term.Wait("one.iso", "512.0 KiB / 1.0 MiB", "50 %", "missing.iso", "failed", "quick.txt", "done", "1 of 3 completed, 1 failed, 1 downloading")
	close(s.release)
	if code := term.ExitCode(testbed.Patience); code != 1 {
		t.Errorf("exit code %d, want 1: not all were completed", code)
	}
	term.Wait("2 of 3 completed", "failed "+s.URL+"/missing.iso: 404 Not Found from 127.0.0.1", "completed "+s.URL+"/slow/one.iso: downloads/")
}
