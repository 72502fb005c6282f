package main

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tests of this package start the built worker as a process of its own,
// against a dispatcher in the test's process.

var binary string // the built worker

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binary = filepath.Join(dir, "worker")
		return testbed.Build(dir, ".")
	})
}

// cluster is a dispatcher with SQLite, and a client of it.
type cluster struct {
	t      *testing.T
	dir    string
	url    string // of NATS
	nc     *nats.Conn
	client *client.Client

	mu        sync.Mutex
	completed map[string]int // number of completed events of each task
}

func startCluster(t *testing.T, change ...func(*config.Dispatcher)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), completed: map[string]int{}}
	d := testdaemon.Start(t, append([]func(*config.Dispatcher){func(cfg *config.Dispatcher) {
		cfg.Database.Type, cfg.Database.Path = "sqlite", filepath.Join(c.dir, "dispatcher.db")
		cfg.WorkerManagement.HeartbeatInterval = model.Duration(time.Second)
		cfg.WorkerManagement.HeartbeatTimeout = model.Duration(15 * time.Second)
	}}, change...)...)
	c.url, c.nc, c.client = d.URL, d.Connect(t), d.Client(t, "shop")
	_, err := c.nc.Subscribe("aria.v1.evt.task.shop.*.completed", func(m *nats.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.completed[strings.Split(m.Subject, ".")[5]]++
	})
	if err == nil {
		err = c.nc.Flush() // tasks are submitted over another connection
	}
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
	testbed.Within(c.t, 40*time.Second, id+" is "+string(want), func() bool {
		task = c.task(id)
		return task.Status == want
	})
	return task
}

// reached waits until a task has at least so many bytes.
func (c *cluster) reached(id string, bytes int64) {
	c.t.Helper()
	testbed.Within(c.t, 40*time.Second, fmt.Sprintf("%s has %d bytes", id, bytes), func() bool { return c.task(id).CompletedLength >= bytes })
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

// node is a worker, which may be started again and again.
type workerProcess struct {
	*testbed.Process // the last

	t    *testing.T
	dir  string
	args []string
	env  []string
}

// startWorker starts the worker w1; at the end of the test it is killed if it
// still runs, and its aria2c with it.
func (c *cluster) startWorker(args ...string) *workerProcess { return c.startWorkerWith(nil, args...) }

func (c *cluster) startWorkerWith(env []string, args ...string) *workerProcess {
	c.t.Helper()
	n := &workerProcess{t: c.t, dir: filepath.Join(c.dir, "w1")}
	n.args = append([]string{"-name", "w1", "-nats-url", c.url, "-dir", n.dir}, args...)
	n.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "WORKER_ALLOW_NETWORKS=loopback,private"}
	n.env = append(n.env, env...)
	c.t.Cleanup(func() { // after the worker's own end
		n.killAria2c()
		testbed.Eventually(c.t, "its aria2c has ended", func() bool { return len(n.aria2c()) == 0 })
	})
	n.start()
	return n
}

func (n *workerProcess) start() {
	n.t.Helper()
	cmd := exec.Command(binary, n.args...)
	cmd.Dir, cmd.Env = filepath.Dir(n.dir), n.env
	n.Process = testbed.Start(n.t, cmd)
}

// aria2c returns the process ids of those that work for this worker's folder.
func (n *workerProcess) aria2c() []int {
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
func (n *workerProcess) killAria2c() {
	for _, pid := range n.aria2c() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// memoryOfAria2c is what the worker's aria2c has in memory, in bytes.
func (n *workerProcess) memoryOfAria2c() int64 {
	n.t.Helper()
	pids := n.aria2c()
	if len(pids) != 1 {
		n.t.Fatalf("the worker has %d aria2c", len(pids))
	}
	return testbed.Memory(n.t, pids[0])
}

// descriptors is how many files the worker has open.
func (n *workerProcess) descriptors() int {
	n.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(entries)
}
