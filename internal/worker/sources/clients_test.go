package sources

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/combined"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// outcome is what a client makes of a behaviour.
type outcome string

const (
	ok      outcome = "ok"    // the right bytes under the right name
	renamed outcome = "name"  // the right bytes under another name
	wrong   outcome = "bytes" // other bytes, called complete
	fails   outcome = "no"
)

// client fetches a URL into a folder; the error says that it did not.
type client struct {
	name  string
	fetch func(t *testing.T, b *behaviour, url, dir string) (path string, err error)
}

// clientTimeout bounds one download, on a busy machine too.
const clientTimeout = 45 * time.Second

// program runs a command in dir and returns the one file that it leaves.
func program(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		return "", fmt.Errorf("it leaves %d files (%w)", len(entries), err)
	}
	return filepath.Join(dir, entries[0].Name()), nil
}

// plainAria2c is aria2c as a user starts it, without a configuration.
func plainAria2c(t *testing.T, b *behaviour, url, dir string) (string, error) {
	t.Helper()
	args := []string{testbed.RequireBinary(t, "aria2c"), "--no-conf", "--enable-color=false", "--console-log-level=error", "--summary-interval=0"}
	for name, value := range b.options {
		args = append(args, "--"+name+"="+value)
	}
	if b.checksum {
		args = append(args, "--checksum="+checksumOf(b.data()))
	}
	return program(t, dir, append(args, url)...)
}

// plainCurl is curl as a user starts it to have a file under its own name.
func plainCurl(t *testing.T, b *behaviour, url, dir string) (string, error) {
	t.Helper()
	args := []string{testbed.RequireBinary(t, "curl"), "-q", "-fL", "-OJ", "-sS", "--max-time", "30"}
	if b.options["referer"] != "" {
		args = append(args, "-e", b.options["referer"])
	}
	if b.options["header"] != "" {
		args = append(args, "-H", b.options["header"])
	}
	return program(t, dir, append(args, url)...)
}

// engines are ours, as a worker with an aria2c and one without run them; one of each
// serves all behaviours.
func engines(t *testing.T) []client {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	guard := downloadtest.Loopback(t)
	a, err := aria2.New(aria2.Config{Binary: path, StateDir: t.TempDir(), Slots: 200, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 200, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	http, err := direct.New(direct.Config{Slots: 200, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	both := combined.New(http, a, 0, downloadtest.Logger(t))
	list := []client{{"worker with aria2", engine(both)}, {"worker without", engine(d)}}
	t.Cleanup(func() {
		for _, e := range []download.Engine{both, d} {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return list
}

func engine(e download.Engine) func(*testing.T, *behaviour, string, string) (string, error) {
	return func(t *testing.T, b *behaviour, url, _ string) (string, error) {
		t.Helper()
		job := downloadtest.Job(t, "source-"+strings.Map(nameChar, b.name), url)
		delete(job.Task.Options, "retry-wait") // as a user submits it
		for name, value := range b.options {
			job.Task.Options[name] = model.OptionValue{value}
		}
		if b.checksum {
			job.Task.Checksum = checksumOf(b.data())
		}
		if err := job.Task.Validate(); err != nil {
			return "", err
		}
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended)
		downloadtest.Remove(t, e, job.Task.ID)
		if state.Phase != download.Complete {
			return "", fmt.Errorf("%+v", state.Err)
		}
		if len(state.Files) != 1 {
			return "", fmt.Errorf("it leaves %d files", len(state.Files))
		}
		return filepath.Join(job.Dir, filepath.FromSlash(state.Files[0].Path)), nil
	}
}

// nameChar keeps what may stand in a task's id.
func nameChar(r rune) rune {
	if model.ValidName(string(r)) {
		return r
	}
	return '-'
}

// try has a client fetch from a server of its own that behaves so.
func (c *client) try(t *testing.T, b *behaviour) (outcome, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(b.serve(b.data()))
	server.Listener = lenient{server.Listener}
	server.Config.SetKeepAlivesEnabled(false)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	url := b.url(server.URL)
	path, err := c.fetch(t, b, url, t.TempDir())
	if err != nil {
		return fails, err.Error()
	}
	got, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fails, err.Error()
	case !bytes.Equal(got, b.data()):
		return wrong, fmt.Sprintf("%d bytes, want %d", len(got), len(b.data()))
	case filepath.Base(path) != b.fileName():
		return renamed, fmt.Sprintf("the name %q, want %q", filepath.Base(path), b.fileName())
	}
	return ok, ""
}
