package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/config"
	"github.com/aria-cluster/dispatcher/pkg/daemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tests of this package start the built worker as a process of its own,
// against a dispatcher in the test's process.

var binary string // the built worker

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "aria-worker-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "worker")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// needAria2c ends the test where there is no aria2c: loudly, and as a failure
// where ARIA_TEST_REQUIRE=1.
func needAria2c(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("aria2c"); err == nil {
		return
	} else if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
		t.Fatalf("ARIA_TEST_REQUIRE=1, but %v", err)
	}
	t.Skip("NOT TESTED: no aria2c in PATH (apt-get install aria2)")
}

// cluster is a dispatcher with SQLite, and a client of it.
type cluster struct {
	t      *testing.T
	dir    string
	url    string // of NATS
	nc     *nats.Conn
	client *bus.Client

	mu        sync.Mutex
	completed map[string]int // how often each task was said to be completed
}

func startCluster(t *testing.T, change ...func(*config.Dispatcher)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), completed: map[string]int{}}
	cfg := config.DefaultDispatcher()
	cfg.NATS.Listen, cfg.NATS.StoreDir, cfg.HTTP.Listen = "127.0.0.1:-1", filepath.Join(c.dir, "nats"), ""
	cfg.Database.Type, cfg.Database.Path = "sqlite", filepath.Join(c.dir, "dispatcher.db")
	cfg.WorkerManagement.HeartbeatInterval = model.Duration(time.Second)
	cfg.WorkerManagement.HeartbeatTimeout = model.Duration(15 * time.Second)
	for _, f := range change {
		f(cfg)
	}
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
	c.url = d.Server().ClientURL()
	if c.nc, err = nats.Connect(c.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.nc.Close)
	if c.client, err = bus.NewClient(c.nc, cfg.NATS.Prefix, "shop", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	_, err = c.nc.Subscribe("aria.v1.evt.task.shop.*.completed", func(m *nats.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.completed[strings.Split(m.Subject, ".")[5]]++
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// submit gives tasks with these ids, each of its own URL.
func (c *cluster) submit(specs ...*model.TaskSpec) {
	c.t.Helper()
	for len(specs) > 0 {
		n := min(len(specs), model.MaxBatch)
		outcomes, err := c.client.SubmitMany(c.t.Context(), specs[:n])
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range outcomes {
			if o.Err != nil {
				c.t.Fatal(o.Err)
			}
		}
		specs = specs[n:]
	}
}

func (c *cluster) task(id string) *model.Task {
	c.t.Helper()
	task, err := c.client.Get(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return task
}

// status waits until a task has it.
func (c *cluster) status(id string, want model.Status) *model.Task {
	c.t.Helper()
	var task *model.Task
	eventually(c.t, 40*time.Second, id+" is "+string(want), func() bool {
		task = c.task(id)
		return task.Status == want
	})
	return task
}

// reached waits until a task has at least so many bytes.
func (c *cluster) reached(id string, bytes int64) {
	c.t.Helper()
	eventually(c.t, 40*time.Second, fmt.Sprintf("%s has %d bytes", id, bytes), func() bool { return c.task(id).CompletedLength >= bytes })
}

// worker returns w1 as the dispatcher knows it, nil if it does not.
func (c *cluster) worker() *model.Worker {
	c.t.Helper()
	m, err := c.nc.Request("aria.v1.req.query.worker.get", []byte(`{"id":"w1"}`), 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	var w model.Worker
	if m.Header.Get("Nats-Service-Error-Code") != "" || json.Unmarshal(m.Data, &w) != nil {
		return nil
	}
	return &w
}

// count returns how many tasks have the status.
func (c *cluster) count(status model.Status) int {
	c.t.Helper()
	n, q := 0, model.ListQuery{Status: []model.Status{status}, Limit: 1000}
	for {
		page, err := c.client.List(c.t.Context(), q)
		if err != nil {
			c.t.Fatal(err)
		}
		n += len(page.Tasks)
		if q.Cursor = page.Next; q.Cursor == "" {
			return n
		}
	}
}

// node is a running worker process.
type node struct {
	t    *testing.T
	dir  string
	args []string
	env  []string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// output gathers what a process prints; it can be read while it grows.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startWorker starts the worker w1; at the end of the test it is killed if it
// still runs, and what it printed is shown if the test failed.
func (c *cluster) startWorker(args ...string) *node { return c.startWorkerWith(nil, args...) }

func (c *cluster) startWorkerWith(env []string, args ...string) *node {
	c.t.Helper()
	n := &node{t: c.t, dir: filepath.Join(c.dir, "w1"), out: &output{}}
	n.args = append([]string{"-name", "w1", "-nats-url", c.url, "-dir", n.dir}, args...)
	n.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "WORKER_ALLOW_NETWORKS=loopback,private"}
	n.env = append(n.env, env...)
	n.start()
	c.t.Cleanup(func() {
		n.kill()
		n.killAria2c()
		eventually(c.t, 10*time.Second, "its aria2c has ended", func() bool { return len(n.aria2c()) == 0 })
		if c.t.Failed() {
			text := n.out.String()
			c.t.Logf("the worker printed:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.cmd, n.done = exec.Command(binary, n.args...), make(chan struct{})
	n.cmd.Dir, n.cmd.Env = filepath.Dir(n.dir), n.env
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	cmd, done := n.cmd, n.done
	go func() {
		_ = cmd.Wait() // killed, mostly
		close(done)
	}()
}

// kill is kill -9.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.done
}

// stop is what a service manager does, and wants exit code 0.
func (n *node) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	select {
	case <-n.done:
	case <-time.After(30 * time.Second):
		n.t.Fatal("the worker has not ended after 30 s")
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("the worker ended with %d after SIGTERM", code)
	}
}

// aria2c returns the process ids of those that work for this worker's folder.
func (n *node) aria2c() []int {
	n.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		n.t.Fatal(err)
	}
	var pids []int
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte("aria2c")) && bytes.Contains(line, []byte("--conf-path="+n.dir+"/")) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killAria2c kills every aria2c of this worker -9.
func (n *node) killAria2c() {
	for _, pid := range n.aria2c() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// proc reads one number from /proc/PID/file.
func (n *node) proc(file string, field int) int64 {
	n.t.Helper()
	return procField(n.t, n.cmd.Process.Pid, file, field)
}

func procField(t *testing.T, pid int, file string, field int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseInt(strings.Fields(string(b))[field], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// memoryOfAria2c is what the worker's aria2c has in memory, in bytes.
func (n *node) memoryOfAria2c() int64 {
	n.t.Helper()
	pids := n.aria2c()
	if len(pids) != 1 {
		n.t.Fatalf("the worker has %d aria2c", len(pids))
	}
	return procField(n.t, pids[0], "statm", 1) * int64(os.Getpagesize())
}

// cpu is the processor time that the worker has used, without its aria2c
// (proc(5), stat: utime and stime in ticks of 1/100 s).
func (n *node) cpu() time.Duration {
	return time.Duration(n.proc("stat", 13)+n.proc("stat", 14)) * 10 * time.Millisecond
}

// memory is what the worker has in memory, without its aria2c, in bytes.
func (n *node) memory() int64 { return n.proc("statm", 1) * int64(os.Getpagesize()) }

// descriptors is how many files the worker has open.
func (n *node) descriptors() int {
	n.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(entries)
}

// eventually waits until the condition holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		<-tick.C
	}
}

func shaOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
