// Package workernode_test runs the worker in Node against the real dispatcher.
package workernode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const maxLines = 100

// install copies the example into a folder of the test and fetches its one
// package. Without node, npm or their registry the test is skipped, loudly, or
// fails where ARIA_TEST_REQUIRE=1.
func install(t *testing.T) string {
	t.Helper()
	testbed.RequireBinary(t, "node")
	dir := t.TempDir()
	for _, name := range []string{"worker.js", "package.json", "package-lock.json"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(data, []byte("\n")); name == "worker.js" && lines >= maxLines {
			t.Errorf("worker.js has %d lines, want under %d", lines, maxLines)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		testbed.Missing(t, "npm", fmt.Errorf("npm ci: %w\n%s", err, out))
	}
	return dir
}

// startNode runs the worker.
func startNode(t *testing.T, dir, url string) *testbed.Process {
	t.Helper()
	cmd := exec.Command("node", "worker.js", "node1", "files")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NATS_URL="+url)
	return testbed.Start(t, cmd)
}

// The example worker in Node.js follows the contract.
func TestNodeWorker_FollowsContract(t *testing.T) {
	dir := install(t)
	d := testdaemon.Start(t, func(cfg *config.Dispatcher) {
		cfg.WorkerManagement.HeartbeatInterval = model.Duration(time.Second)
		cfg.WorkerManagement.HeartbeatTimeout = model.Duration(time.Minute) // longer than any wait here
		cfg.TaskAssignment.RetryBase = model.Duration(time.Second)
	})
	client := d.Client(t, "shop")
	data := downloadtest.Data(500_000)
	var throttle downloadtest.Throttle
	mux := http.NewServeMux()
	mux.Handle("/", downloadtest.FirstAnswer(downloadtest.Content(data), http.StatusServiceUnavailable))
	mux.Handle("/gone", http.NotFoundHandler())
	mux.Handle("/slow", throttle.Slow(downloadtest.Content(data)))
	throttle.Set(50_000)
	s := downloadtest.Serve(t, mux)

	submit := func(id, path string) {
		t.Helper()
		if _, err := client.Submit(t.Context(), &model.TaskSpec{ID: id, URL: s.URL + path}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(id string, status model.Status) func() bool {
		return func() bool {
			task, err := client.Get(t.Context(), id)
			return err == nil && task.Status == status
		}
	}
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("task-%d", i))
		submit(ids[i], "/"+ids[i])
	}
	node := startNode(t, dir, d.URL)
	for _, id := range ids { // more than it has slots, the first answered 503
		testbed.Eventually(t, id+" is completed", is(id, model.StatusCompleted))
		got, err := os.ReadFile(filepath.Join(dir, "files", id, "file"))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", id, len(got), err)
		}
	}
	submit("gone", "/gone")
	testbed.Eventually(t, "a 404 fails for good", is("gone", model.StatusFailed))

	submit("canceled", "/slow")
	testbed.Eventually(t, "it is being downloaded", is("canceled", model.StatusDownloading))
	if _, err := client.Cancel(t.Context(), "canceled"); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "its bytes are gone", func() bool {
		_, err := os.Stat(filepath.Join(dir, "files", ".canceled.part"))
		return errors.Is(err, os.ErrNotExist)
	})

	submit("killed", "/slow")
	testbed.Eventually(t, "it is being downloaded", is("killed", model.StatusDownloading))
	node.Kill()
	throttle.Set(0)
	node = startNode(t, dir, d.URL)
	testbed.Eventually(t, "it is completed after a kill", is("killed", model.StatusCompleted))
	throttle.Set(50_000)
	submit("left", "/slow")
	testbed.Eventually(t, "it is being downloaded", is("left", model.StatusDownloading))
	node.Stop()
	testbed.Eventually(t, "it was given back at once", is("left", model.StatusPending))
	var pkg struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	text, err := os.ReadFile("package.json")
	if err != nil || json.Unmarshal(text, &pkg) != nil || len(pkg.Dependencies) != 1 || strings.HasPrefix(pkg.Dependencies["nats"], "^") {
		t.Errorf("package.json depends on %v, want the nats package only, in one version", pkg.Dependencies)
	}
}
