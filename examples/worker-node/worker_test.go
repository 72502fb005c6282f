// Package workernode_test runs the worker in Node against the real dispatcher.
package workernode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/config"
	"github.com/aria-cluster/dispatcher/pkg/daemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download/downloadtest"

	"github.com/nats-io/nats.go"
)

const maxLines = 100

// install copies the example into a folder of the test and fetches its one
// package. Without node, npm or their registry the test is skipped, loudly, or
// fails where ARIA_TEST_REQUIRE=1.
func install(t *testing.T) string {
	t.Helper()
	missing := func(err error) {
		if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
			t.Fatalf("ARIA_TEST_REQUIRE=1, but %v", err)
		}
		t.Skipf("NOT TESTED: %v (apt-get install nodejs npm)", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing(err)
	}
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
		missing(fmt.Errorf("npm ci: %w\n%s", err, out))
	}
	return dir
}

// startDispatcher returns its NATS URL and a client.
func startDispatcher(t *testing.T) (string, *bus.Client) {
	t.Helper()
	cfg := config.DefaultDispatcher()
	cfg.NATS.Listen, cfg.NATS.StoreDir, cfg.HTTP.Listen = "127.0.0.1:-1", t.TempDir(), ""
	cfg.WorkerManagement.HeartbeatInterval = model.Duration(time.Second)
	cfg.WorkerManagement.HeartbeatTimeout = model.Duration(time.Minute) // longer than any wait here
	cfg.TaskAssignment.RetryBase = model.Duration(time.Second)
	d, err := daemon.New(t.Context(), cfg, daemon.Version, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-d.Serving()
	nc, err := nats.Connect(d.Server().ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	client, err := bus.NewClient(nc, cfg.NATS.Prefix, "shop", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d.Server().ClientURL(), client
}

// startNode runs the worker; stop ends it by SIGTERM and wants exit code 0.
func startNode(t *testing.T, dir, url string) (kill, stop func()) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("node", "worker.js", "node1", "files")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.Env = append(os.Environ(), "NATS_URL="+url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var err error
	go func() {
		err = cmd.Wait()
		close(ended)
	}()
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("the worker printed:\n%s", out.String())
		}
	})
	return kill, func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the worker has not ended 10 s after SIGTERM")
		}
		if err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	}
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still not: %s", what)
		}
		<-tick.C
	}
}

func TestAWorkerInNodeSpeaksTheContract(t *testing.T) {
	dir := install(t)
	url, client := startDispatcher(t)
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
	kill, _ := startNode(t, dir, url)
	for _, id := range ids { // more than it has slots, the first answered 503
		await(t, id+" is completed", is(id, model.StatusCompleted))
		got, err := os.ReadFile(filepath.Join(dir, "files", id, "file"))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", id, len(got), err)
		}
	}
	submit("gone", "/gone")
	await(t, "a 404 fails for good", is("gone", model.StatusFailed))

	submit("canceled", "/slow")
	await(t, "it is being downloaded", is("canceled", model.StatusDownloading))
	if _, err := client.Cancel(t.Context(), "canceled"); err != nil {
		t.Fatal(err)
	}
	await(t, "its bytes are gone", func() bool {
		_, err := os.Stat(filepath.Join(dir, "files", ".canceled.part"))
		return errors.Is(err, os.ErrNotExist)
	})

	submit("killed", "/slow")
	await(t, "it is being downloaded", is("killed", model.StatusDownloading))
	kill()
	throttle.Set(0)
	_, stop := startNode(t, dir, url)
	await(t, "it is completed after a kill", is("killed", model.StatusCompleted))
	throttle.Set(50_000)
	submit("left", "/slow")
	await(t, "it is being downloaded", is("left", model.StatusDownloading))
	stop()
	await(t, "it was given back at once", is("left", model.StatusPending))
	var pkg struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	text, err := os.ReadFile("package.json")
	if err != nil || json.Unmarshal(text, &pkg) != nil || len(pkg.Dependencies) != 1 || strings.HasPrefix(pkg.Dependencies["nats"], "^") {
		t.Errorf("package.json depends on %v, want the nats package only, in one version", pkg.Dependencies)
	}
}
