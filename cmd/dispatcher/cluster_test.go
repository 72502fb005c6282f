package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cluster is a dispatcher with SQLite and workers in folders of their own.
type cluster struct {
	t          *testing.T
	dir        string
	natsURL    string
	env        []string
	dispatcher *testbed.Process
	workers    map[string]*testbed.Process
	nc         *nats.Conn
}

func startCluster(t *testing.T, external bool, workers ...string) *cluster {
	t.Helper()
	return startClusterWith(t, external, nil, workers...)
}

// startClusterWith starts a cluster and gives its dispatcher further variables.
func startClusterWith(t *testing.T, external bool, env []string, workers ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), workers: make(map[string]*testbed.Process)}
	c.env = []string{
		"DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=" + filepath.Join(c.dir, "data", "dispatcher.db"),
		"DISPATCHER_HTTP_LISTEN=" + freeport.Address(t), "DISPATCHER_NATS_STORE_DIR=" + filepath.Join(c.dir, "nats"),
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=500ms", "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=3",
	}
	if external {
		server, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: filepath.Join(c.dir, "external")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) }) // the test is over
		c.natsURL = server.ClientURL()
		c.env = append(c.env, "NATS_URL="+c.natsURL)
	} else {
		listen := freeport.Address(t)
		c.natsURL = "nats://" + listen
		c.env = append(c.env, "DISPATCHER_NATS_LISTEN="+listen)
	}
	c.env = append(c.env, env...)
	c.startDispatcher()
	c.nc = connect(t, c.natsURL)
	for _, name := range workers {
		c.startWorker(name)
	}
	return c
}

func (c *cluster) startDispatcher() {
	c.dispatcher = start(c.t, c.dir, c.env, "dispatcher")
}

func (c *cluster) startWorker(name string, args ...string) {
	c.workers[name] = start(c.t, c.dir, []string{"NATS_URL=" + c.natsURL}, "worker", append([]string{
		"-name", name, "-dir", filepath.Join(c.dir, name), "-slots", "5", "-allow-networks", "loopback"}, args...)...)
}

// submit asks until it is answered, as a client does that wants to be sure: with
// an id of its own.
func (c *cluster) submit(id, url string) {
	c.t.Helper()
	testbed.Within(c.t, 30*time.Second, "an answer to the submit of "+id, func() bool {
		a, err := ask(c.nc, "aria.v1.req.task.shop.submit", fmt.Sprintf(`{"id":%q,"url":%q}`, id, url))
		if err != nil || a.code == "503" {
			return false
		}
		if a.code != "" {
			c.t.Fatalf("submit %s: %s %s", id, a.code, a.text)
		}
		return true
	})
}

// byStatus is the status of each of the tasks.
func (c *cluster) byStatus(ids []string) map[model.Status]int {
	counts := make(map[model.Status]int)
	for _, id := range ids {
		if task := getTask(c.t, c.nc, "shop", id); task != nil {
			counts[task.Status]++
		}
	}
	return counts
}

// ends counts the completed events of each task.
type ends struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *cluster) countEnds() *ends {
	e := &ends{n: make(map[string]int)}
	_, err := c.nc.Subscribe("aria.v1.evt.task.shop.*.completed", func(m *nats.Msg) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.n[strings.Split(m.Subject, ".")[5]]++
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// Fifty tasks on two workers complete although processes are killed.
func TestCluster_FiftyTasksSurviveKilledProcesses(t *testing.T) {
	t.Parallel()
	for _, external := range []bool{false, true} {
		name := "embedded NATS"
		if external {
			name = "external NATS"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fiftyTasks(t, external)
		})
	}
}

func fiftyTasks(t *testing.T, external bool) {
	data := make([]byte, 400_000)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	files := serveFile(t, data, 300_000) // more than a second each
	c := startCluster(t, external, "w1", "w2")
	ended := c.countEnds()
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprintf("task-%d", i))
	}
	for _, id := range ids[:30] {
		c.submit(id, files.URL+"/"+id)
	}
	testbed.Within(t, time.Minute, "a few completed on both workers", func() bool {
		return c.byStatus(ids[:30])[model.StatusCompleted] >= 6 && c.completedBy(ids[:30])["w1"] > 0 && c.completedBy(ids[:30])["w2"] > 0
	})

	c.workers["w1"].Kill()
	done := c.completed(ids[:30])
	requests := make(map[string]int)
	for id := range done {
		requests[id] = files.count("/" + id)
	}
	c.dispatcher.Kill()
	c.startDispatcher()
	for _, id := range ids[30:] { // acknowledged before, during and after the second kill
		c.submit(id, files.URL+"/"+id)
		if id == "task-40" {
			c.dispatcher.Kill()
			c.startDispatcher()
		}
	}
	testbed.Within(t, 3*time.Minute, "all completed", func() bool { return c.byStatus(ids)[model.StatusCompleted] == len(ids) })

	for id := range requests {
		if now := files.count("/" + id); now != requests[id] {
			t.Errorf("%s was completed and fetched again: %d requests, then %d", id, requests[id], now)
		}
		if now := getTask(t, c.nc, "shop", id); now.Attempt != done[id].Attempt || now.FinishedAt != done[id].FinishedAt {
			t.Errorf("%s was completed as %+v, and is %+v", id, done[id].TaskState, now.TaskState)
		}
	}
	by := c.completedBy(ids)
	if by["w1"] == 0 || by["w2"] == 0 || by["w1"]+by["w2"] != len(ids) {
		t.Errorf("completed by %v, want all, spread over both", by)
	}
	for _, task := range c.completed(ids) {
		path := filepath.Join(c.dir, task.Result.WorkerID, filepath.FromSlash(task.Result.Files[0].Path))
		if got := testbed.SHA256(t, path); got != files.sha256 {
			t.Errorf("%s: %s is not the file that was served", task.ID, path)
		}
	}
	ended.mu.Lock()
	defer ended.mu.Unlock()
	for id, n := range ended.n {
		if n > 1 {
			t.Errorf("%s was said to be completed %d times", id, n)
		}
	}
	c.workers["w2"].Stop()
	c.dispatcher.Stop()
}

func (c *cluster) completed(ids []string) map[string]*model.Task {
	tasks := make(map[string]*model.Task)
	for _, id := range ids {
		if task := getTask(c.t, c.nc, "shop", id); task != nil && task.Status == model.StatusCompleted {
			tasks[id] = task
		}
	}
	return tasks
}

func (c *cluster) completedBy(ids []string) map[string]int {
	by := make(map[string]int)
	for _, task := range c.completed(ids) {
		by[task.Result.WorkerID]++
	}
	return by
}

// Invalid requests get an error response and do not disturb other clients.
func TestRequests_InvalidOnesGetErrorResponses(t *testing.T) {
	t.Parallel()
	files := serveFile(t, []byte(strings.Repeat("x", 1_000_000)), 200_000)
	// Garbage is collected at once: what grows is what is kept.
	c := startClusterWith(t, true, []string{"GOGC=100"}, "w1")
	c.submit("good", files.URL+"/good")
	before := testbed.Memory(t, c.dispatcher.PID())
	long := strings.Repeat("a", 900_000)
	for _, r := range []struct{ body, code, names string }{
		{`{"url":"gopher://h/a"}`, "400", "url"},
		{`{"url":"http://h/a","options":{"all-proxy":"http://p"}}`, "400", "all-proxy"},
		{`{"url":"http://h/a","options":{"out":"../../etc/passwd"}}`, "400", "options.out"},
		{`{"url":"http://h/a","id":"a.b"}`, "400", "id"},
		{`{"url":"http://h/a","colour":"red"}`, "400", "colour"},
		{`{"url":7}`, "400", "url"},
		{`this is not JSON`, "400", "JSON"},
		{`{"url":"http://h/a","labels":{"x":"` + long + `"}}`, "4", "labels"},
		{`{"url":"http://h/` + long + `"}`, "4", "url"},
		{strings.Repeat("[", 900_000), "4", "JSON"},
		{``, "400", "JSON"},
	} {
		for range 5 {
			a, err := ask(c.nc, "aria.v1.req.task.shop.submit", r.body)
			if err != nil {
				t.Fatalf("%.60s: %v", r.body, err)
			}
			if !strings.HasPrefix(a.code, r.code) || !strings.Contains(a.text, r.names) {
				t.Errorf("%.60s: %s %q, want %s and %q", r.body, a.code, a.text, r.code, r.names)
			}
		}
	}
	testbed.Within(t, time.Minute, "the good task is completed", func() bool {
		task := getTask(t, c.nc, "shop", "good")
		return task != nil && task.Status == model.StatusCompleted && task.Attempt == 1
	})
	if after := testbed.Memory(t, c.dispatcher.PID()); after > before+40<<20 {
		t.Errorf("the dispatcher grew from %d to %d MiB", before>>20, after>>20)
	}
	a, err := ask(c.nc, "aria.v1.req.query.status", "")
	if err != nil {
		t.Fatal(err)
	}
	var status model.ClusterStatus
	if err := json.Unmarshal(a.body, &status); err != nil || status.TotalTasks != 1 || status.ActiveWorkers != 1 {
		t.Errorf("status %s, %v: want one task and one worker", a.body, err)
	}
}

// An idle dispatcher does little: how much processor time that is depends on the machine,
// how often it wakes does not.
func TestDispatcher_IdleWakesSeldom(t *testing.T) {
	c := startCluster(t, false)
	c.submit("waits", "http://files.example/a")
	const watch = 5 * time.Second
	woken, used := testbed.Wakeups(t, c.dispatcher.PID()), testbed.CPU(t, c.dispatcher.PID())
	<-time.After(watch) // the time over which is measured, not a wait for a thing
	woken, used = testbed.Wakeups(t, c.dispatcher.PID())-woken, testbed.CPU(t, c.dispatcher.PID())-used
	t.Logf("idle: %.0f wake-ups a second, %.2f%% of a core", float64(woken)/watch.Seconds(), 100*used.Seconds()/watch.Seconds())
	if limit := int64(300 * watch.Seconds()); woken > limit {
		t.Errorf("%d wake-ups in %v, want at most %d", woken, watch, limit)
	}
	if m := testbed.Memory(t, c.dispatcher.PID()); m > 60<<20 {
		t.Errorf("%d MiB, want under 60", m>>20)
	}
}
