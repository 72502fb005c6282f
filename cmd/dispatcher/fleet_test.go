package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A draining worker finishes its tasks and gets no new ones, also after the
// dispatcher restarts.
func TestDrain_SurvivesRestartOfDispatcher(t *testing.T) {
	t.Parallel()
	files := serveFile(t, noise(300_000), 100_000)
	c := startCluster(t, false, "w1")
	c.submit("running", files.URL+"/running")
	c.until("running", "is under way", func(t *model.Task) bool { return t.CompletedLength > 0 })
	var w model.Worker
	a := c.must("admin.worker.drain", `{"id":"w1"}`)
	if err := json.Unmarshal(a.body, &w); err != nil || w.Status != model.WorkerDraining || w.UsedSlots != 1 {
		t.Errorf("drained: %s, %v", a.body, err)
	}
	c.submit("new", files.URL+"/new")
	c.dispatcher.Kill()
	c.startDispatcher()

	done := c.untilStatus("running", model.StatusCompleted)
	if done.Attempt != 1 || done.Failures+done.Losses != 0 {
		t.Errorf("what it held: %+v", done.TaskState)
	}
	w1 := c.worker("w1")
	if waits := getTask(t, c.nc, "shop", "new"); waits.Status != model.StatusPending || waits.Attempt != 0 || waits.Reason == "" {
		t.Errorf("what came after the drain: %+v", waits.TaskState)
	}
	if w1.Status != model.WorkerDraining || files.count("/new") != 0 {
		t.Errorf("after the restart the worker is %s, and was sent for %d files", w1.Status, files.count("/new"))
	}

	c.workers["w1"].Stop()
	testbed.Eventually(t, "it has left", func() bool { return c.worker("w1").Status == model.WorkerOffline })
	c.startWorker("w1")
	testbed.Eventually(t, "it is back", func() bool { return c.worker("w1").Status != model.WorkerOffline })
	if again := c.worker("w1"); again.Status != model.WorkerDraining || again.Epoch <= w1.Epoch || files.count("/new") != 0 {
		t.Errorf("after its own restart the worker is %s, epoch %d, and was sent for %d files", again.Status, again.Epoch, files.count("/new"))
	}
	c.must("admin.worker.resume", `{"id":"w1"}`)
	c.untilStatus("new", model.StatusCompleted)
}

// An online worker is removed only with force.
func TestRemoveWorker_OnlineNeedsForce(t *testing.T) {
	t.Parallel()
	files := serveFile(t, noise(300_000), 100_000)
	c := startCluster(t, false, "w1")
	removed := make(chan *nats.Msg, 10)
	if _, err := c.nc.ChanSubscribe("aria.v1.evt.worker.w1.removed", removed); err != nil {
		t.Fatal(err)
	}
	c.submit("running", files.URL+"/running")
	c.until("running", "is under way", func(t *model.Task) bool { return t.CompletedLength > 0 })
	if a := c.do("admin.worker.remove", `{"id":"w1"}`); a.code != "409" || !strings.Contains(a.text, "w1 is online") {
		t.Errorf("without force: %q %q", a.code, a.text)
	}
	c.must("admin.worker.remove", `{"id":"w1","force":true}`)
	select {
	case <-removed:
	case <-time.After(10 * time.Second):
		t.Error("nobody was told that it was removed")
	}
	// Its next heartbeat registers a new worker, which takes back the tasks that were
	// not reassigned.
	if done := c.untilStatus("running", model.StatusCompleted); done.Attempt != 1 || done.Result.WorkerID != "w1" {
		t.Errorf("what it held: %+v", done.TaskState)
	}
	c.online("w1")
	c.workers["w1"].Stop()
	testbed.Eventually(t, "it has left", func() bool { return c.worker("w1").Status == model.WorkerOffline })
	c.must("admin.worker.remove", `{"id":"w1"}`)
	if w := c.worker("w1"); w != nil {
		t.Errorf("it is still there: %+v", w)
	}
	for _, verb := range []string{"drain", "resume", "remove"} {
		if a := c.do("admin.worker."+verb, `{"id":"w1"}`); a.code != "404" || !strings.Contains(a.text, "w1") {
			t.Errorf("%s of a worker that is gone: %q %q", verb, a.code, a.text)
		}
	}
}

// answers notes what a worker's reports were answered with.
type answers struct {
	mu      sync.Mutex
	pending map[string]bool // inboxes
	got     []*nats.Msg
}

// overhear listens to the reports of a worker and to their answers.
func (c *cluster) overhear(worker string) *answers {
	c.t.Helper()
	o := &answers{pending: make(map[string]bool)}
	for subject, hear := range map[string]func(m *nats.Msg){
		"aria.v1.req.worker." + worker + ".report": func(m *nats.Msg) { o.pending[m.Reply] = true },
		"_INBOX.>": func(m *nats.Msg) {
			if o.pending[m.Subject] {
				o.got = append(o.got, m)
			}
		},
	} {
		_, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
			o.mu.Lock()
			defer o.mu.Unlock()
			hear(m)
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// verdicts counts the results of single reports by code; "" is accepted.
func (o *answers) verdicts(t *testing.T) map[int]int {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	codes := make(map[int]int)
	for _, m := range o.got {
		var body struct {
			Error   model.Error
			Results []struct{ Error model.Error }
		}
		if err := json.Unmarshal(m.Data, &body); err != nil {
			t.Errorf("%s: %v", m.Data, err)
		}
		for _, r := range body.Results {
			codes[int(r.Error.Code)]++
		}
		if body.Results == nil {
			codes[int(body.Error.Code)]++
		}
	}
	return codes
}

// whoIs makes a function that names the worker at the other end of a connection.
func (c *cluster) whoIs() func(address string) string {
	pids := make(map[string][]string)
	for name, p := range c.workers {
		pid := strconv.Itoa(p.PID())
		children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err != nil {
			c.t.Fatal(err)
		}
		pids[name] = append(strings.Fields(string(children)), pid)
	}
	return func(address string) string {
		_, port, _ := net.SplitHostPort(address)
		socket := "socket:[" + inodeOf(port) + "]"
		for name, list := range pids {
			for _, pid := range list {
				fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
				for _, fd := range fds {
					if to, err := os.Readlink(fd); err == nil && to == socket {
						return name
					}
				}
			}
		}
		return "nobody"
	}
}

// inodeOf finds the socket of a port of loopback (proc(5), /proc/net/tcp).
func inodeOf(port string) string {
	n, _ := strconv.Atoi(port)
	local := fmt.Sprintf("0100007F:%04X", n)
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer table.Close()
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 9 && f[1] == local && f[9] != "0" {
			return f[9]
		}
	}
	return ""
}

// A worker that was stopped and resumes is refused, and drops the tasks that were
// reassigned.
func TestWorker_ResumedProcessDropsReassignedTasks(t *testing.T) {
	for _, engine := range []string{"aria2", "direct"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			}
			wakesLate(t, engine)
		})
	}
}

func wakesLate(t *testing.T, engine string) {
	c := startCluster(t, false)
	c.startWorker("w1", "-engine", engine)
	c.startWorker("w2", "-engine", engine)
	c.online("w1", "w2")
	var hurry atomic.Bool
	files := serveFiles(t, &files{data: noise(400_000), who: c.whoIs(), pace: func(v *visit) int {
		if v.who == "w2" && (v.path == "/quick" || hurry.Load()) {
			return 2_000_000
		}
		return 20_000
	}})
	byW1 := func(v *visit) bool { return v.who == "w1" }
	ended := c.countEnds()
	ids := []string{"quick", "slow-1", "slow-2"}
	c.must("admin.worker.drain", `{"id":"w2"}`)
	for _, id := range ids {
		c.submit(id, files.URL+"/"+id)
	}
	for _, id := range ids {
		c.until(id, "is under way", func(t *model.Task) bool { return t.WorkerID == "w1" && t.CompletedLength > 0 })
	}
	c.must("admin.worker.resume", `{"id":"w2"}`)
	w1 := c.workers["w1"]
	w1.Signal(syscall.SIGSTOP)
	for _, id := range ids[1:] {
		c.until(id, "was given away", func(t *model.Task) bool { return t.WorkerID == "w2" && t.Status == model.StatusDownloading })
	}
	quick := c.untilStatus("quick", model.StatusCompleted)
	heard := c.overhear("w1")
	w1.Signal(syscall.SIGCONT)

	// What it would say if it had finished in its sleep.
	for _, id := range ids {
		a := c.do("worker.w1.report", fmt.Sprintf(`{"id":%q,"attempt":1,"status":"completed","result":{"files":[],"total_length":1}}`, id))
		var body struct{ Drop []model.Drop }
		if err := json.Unmarshal(a.body, &body); err != nil || a.code != "409" || !strings.Contains(a.text, id) {
			t.Errorf("a late completion of %s: %q %q, %v", id, a.code, a.text, err)
		}
		if want := (model.Drop{ID: id, Attempt: 1, Reason: model.DropSuperseded}); len(body.Drop) != 1 || body.Drop[0] != want {
			t.Errorf("it is told to drop %+v, want %+v", body.Drop, want)
		}
	}
	testbed.Within(t, 15*time.Second, "w1 is back, fetches nothing and holds nothing", func() bool {
		w := c.worker("w1")
		return w.Status == model.WorkerOnline && len(w.CurrentTasks) == 0 && w.UsedSlots == 0 &&
			!slices.ContainsFunc(files.visits(byW1), func(v visit) bool { return v.open })
	})
	before := files.visits(byW1)
	if len(before) < len(ids) {
		t.Fatalf("%d requests are known to be w1's: the test does not see them", len(before))
	}
	if now := getTask(t, c.nc, "shop", "quick"); now.UpdatedAt != quick.UpdatedAt || now.Attempt != 2 || now.Result.WorkerID != "w2" {
		t.Errorf("the completed task has changed: %+v", now.TaskState)
	}
	hurry.Store(true)
	for _, id := range ids {
		done := c.untilStatus(id, model.StatusCompleted)
		if done.Attempt != 2 || done.Losses != 1 || done.Result.WorkerID != "w2" || testbed.SHA256(t, c.finished(done)) != files.sha256 {
			t.Errorf("%s: %+v", id, done.TaskState)
		}
		if _, err := os.Stat(filepath.Join(c.dir, "w1", id)); !os.IsNotExist(err) {
			t.Errorf("%s is finished on w1 too: %v", id, err)
		}
	}
	if after := files.visits(byW1); !slices.Equal(after, before) {
		t.Errorf("w1 continued: %d requests, then %d", len(before), len(after))
	}
	if codes := heard.verdicts(t); codes[0] > 0 {
		t.Errorf("reports of w1 were taken: %v", codes)
	} else {
		t.Logf("w1's own late reports, by answer: %v", codes)
	}
	testbed.Within(t, 5*time.Second, "each end was told", func() bool {
		ended.mu.Lock()
		defer ended.mu.Unlock()
		return len(ended.n) == len(ids)
	})
	ended.mu.Lock()
	defer ended.mu.Unlock()
	for id, n := range ended.n {
		if n != 1 {
			t.Errorf("%s was said to be completed %d times", id, n)
		}
	}
}

// Retention deletes terminal tasks, and frees their ids later.
func TestRetention_DeletesTerminalTasksAndLaterTheirIDs(t *testing.T) {
	t.Parallel()
	files := serveFile(t, noise(10_000), 0)
	c := startClusterWith(t, false, []string{"DISPATCHER_RETENTION_COMPLETED=2s", "DISPATCHER_RETENTION_IDS=4s"}, "w1")
	c.submit("kept", files.URL+"/missing")
	c.untilStatus("kept", model.StatusFailed)
	c.submit("over", files.URL+"/over")
	over := c.untilStatus("over", model.StatusCompleted)
	testbed.Eventually(t, "the completed task is gone", func() bool {
		return c.do("task.shop.get", `{"id":"over"}`).code == "404"
	})
	spec := fmt.Sprintf(`{"id":"over","url":%q}`, files.URL+"/over")
	if a := c.do("task.shop.submit", spec); a.code != "409" || !strings.Contains(a.text, "over") {
		t.Errorf("its id is taken for a while: %q %q %s", a.code, a.text, a.body)
	}
	var again *model.Task
	testbed.Eventually(t, "its id is free again", func() bool {
		a := c.do("task.shop.submit", spec)
		if a.code == "" {
			again = c.task(a)
		}
		return again != nil
	})
	if again.CreatedAt <= over.FinishedAt || again.Status.Terminal() {
		t.Errorf("submitted again it is no new task: %+v", again.TaskState)
	}
	if kept := getTask(t, c.nc, "shop", "kept"); kept.Status != model.StatusFailed {
		t.Errorf("failed tasks are never deleted: %+v", kept.TaskState)
	}
}

// A host never serves more downloads at once than its limit.
func TestHostLimit_BoundsConcurrentDownloads(t *testing.T) {
	t.Parallel()
	files := serveFile(t, noise(30_000), 60_000)
	c := startClusterWith(t, false, []string{"DISPATCHER_LIMITS_PER_HOST=1"}, "w1", "w2")
	c.online("w1", "w2")
	var ids []string
	for i := range 6 {
		ids = append(ids, fmt.Sprintf("t%d", i))
		c.submit(ids[i], files.URL+"/"+ids[i])
	}
	if waits := getTask(t, c.nc, "shop", "t5"); !strings.Contains(waits.Reason, "127.0.0.1") {
		t.Errorf("why the last one waits: %q", waits.Reason)
	}
	for _, id := range ids {
		c.untilStatus(id, model.StatusCompleted)
	}
	// The last bytes of one go out before another begins: what comes after the
	// moment before them is the network's.
	all := files.visits(func(*visit) bool { return true })
	for _, v := range all {
		for _, u := range all {
			if u.path != v.path && !u.began.Before(v.began) && u.began.Before(v.last) {
				t.Errorf("%s was fetched from %v to %v, and %s from %v on", v.path, v.began, v.last, u.path, u.began)
			}
		}
	}
}
