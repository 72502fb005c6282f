package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

var binaries string

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binaries = dir
		return testbed.Build(dir, ".")
	})
}

// TestSubmit_UsageAndOutcomes runs the built example as a newcomer does, against a
// dispatcher at NATS_URL.
func TestSubmit_UsageAndOutcomes(t *testing.T) {
	d := testdaemon.Start(t)
	w := config.DefaultWorker()
	w.Name, w.NATS.URL, w.Dir, w.Engine = "w1", config.URLs(d.URL), t.TempDir(), "direct"
	w.AllowNetworks = []string{"loopback"}
	var log testbed.Log
	stop := testbed.Context(t)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(stop, w, log.Logger()) }()

	content := downloadtest.Content([]byte("content"))
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		content.ServeHTTP(w, r)
	}))
	for _, c := range []struct {
		name, url string
		args      []string
		code      int
		says      string
	}{
		{"help", d.URL, []string{"-h"}, 0, "usage: submit URL"},
		{"no argument", d.URL, nil, 2, "usage: submit URL"},
		{"a flag", d.URL, []string{"-v"}, 2, "usage: submit URL"},
		{"a file", d.URL, []string{s.URL + "/film.mkv"}, 0, "/film.mkv in the folder of the worker w1"},
		{"a missing file", d.URL, []string{s.URL + "/missing"}, 1, " failed: "},
		{"a bad URL", d.URL, []string{"gopher://h/"}, 1, `the scheme "gopher" is not supported; use http, https, ftp, sftp or magnet`},
		{"no NATS server", "nats://127.0.0.1:1", []string{s.URL}, 1, "connecting to NATS at NATS_URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(binaries, "submit"), c.args...)
			cmd.Env = append(os.Environ(), "NATS_URL="+c.url)
			p := testbed.Start(t, cmd)
			if code := p.Wait(testbed.Patience); code != c.code || !strings.Contains(p.Out.String(), c.says) {
				t.Errorf("exit code %d, want %d, and %q in:\n%s", code, c.code, c.says, p.Out)
			}
		})
	}
}
