package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// do asks until a dispatcher answers; the subject is what follows "req.".
func (c *cluster) do(subject, body string) *answer {
	c.t.Helper()
	var got *answer
	testbed.Eventually(c.t, "an answer to "+subject+" "+body, func() bool {
		a, err := ask(c.nc, "aria.v1.req."+subject, body)
		got = a
		return err == nil && a.code != "503"
	})
	return got
}

// must is do of what has to be granted.
func (c *cluster) must(subject, body string) *answer {
	c.t.Helper()
	a := c.do(subject, body)
	if a.code != "" {
		c.t.Fatalf("%s %s: %s %s", subject, body, a.code, a.text)
	}
	return a
}

// verb has the client do something with one of its tasks.
func (c *cluster) verb(verb, id string) *model.Task {
	c.t.Helper()
	return c.task(c.must("task.shop."+verb, fmt.Sprintf(`{"id":%q}`, id)))
}

func (c *cluster) task(a *answer) *model.Task {
	c.t.Helper()
	var task model.Task
	if err := json.Unmarshal(a.body, &task); err != nil {
		c.t.Fatalf("%s: %v", a.body, err)
	}
	return &task
}

// until waits for a task to be as it should, and returns it.
func (c *cluster) until(id, what string, holds func(*model.Task) bool) *model.Task {
	c.t.Helper()
	var task *model.Task
	testbed.Eventually(c.t, id+" "+what, func() bool {
		now := getTask(c.t, c.nc, "shop", id)
		if now != nil {
			task = now
		}
		return now != nil && holds(now)
	})
	return task
}

func (c *cluster) untilStatus(id string, status model.Status) *model.Task {
	c.t.Helper()
	return c.until(id, "is "+string(status), func(t *model.Task) bool { return t.Status == status })
}

func (c *cluster) worker(id string) *model.Worker {
	c.t.Helper()
	a := c.do("query.worker.get", fmt.Sprintf(`{"id":%q}`, id))
	if a.code == "404" {
		return nil
	}
	var w model.Worker
	if err := json.Unmarshal(a.body, &w); err != nil || a.code != "" {
		c.t.Fatalf("the worker %s: %s %s %s", id, a.code, a.text, a.body)
	}
	return &w
}

// online waits until the workers can be given tasks.
func (c *cluster) online(names ...string) {
	c.t.Helper()
	for _, name := range names {
		testbed.Eventually(c.t, name+" is online", func() bool {
			w := c.worker(name)
			return w != nil && w.Status == model.WorkerOnline
		})
	}
}

// finished is where a completed task's one file is.
func (c *cluster) finished(task *model.Task) string {
	return filepath.Join(c.dir, task.Result.WorkerID, filepath.FromSlash(task.Result.Files[0].Path))
}

func noise(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	return data
}

// slack is how much of a file may be fetched twice when a download is stopped and
// continues: bytes in transit, and the block that aria2 had begun.
const slack = 64 << 10

// onlyOnce checks that the file's bytes, given out under these paths together, were
// not fetched again.
func (f *files) onlyOnce(t *testing.T, paths ...string) {
	t.Helper()
	sent := int64(0)
	for _, v := range f.visits(func(v *visit) bool { return slices.Contains(paths, v.path) }) {
		sent += v.sent
	}
	if sent > int64(len(f.data))+slack {
		t.Errorf("the file has %d bytes, and %d went out under %v", len(f.data), sent, paths)
	}
}

// A paused task keeps its bytes and continues from them.
func TestPause_ResumedTaskContinuesFromItsBytes(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	files := serveFiles(t, &files{data: noise(500_000), pace: func(*visit) int {
		if slow.Load() {
			return 100_000
		}
		return 1_000_000
	}})
	c := startCluster(t, false, "w1", "w2")
	c.online("w1", "w2")
	ids := []string{"a", "b", "c", "d"}
	for _, id := range ids {
		c.submit(id, files.URL+"/"+id)
	}
	for _, id := range ids {
		c.until(id, "is a third there", func(t *model.Task) bool { return t.CompletedLength > 150_000 })
	}
	c.must("task.shop.pause", `{"ids":["a","b","c","d"]}`)
	at := make(map[string]string)
	for _, id := range ids {
		task := getTask(t, c.nc, "shop", id)
		if task.Status != model.StatusPaused || task.WorkerID != "" || task.Attempt != 1 || task.CompletedLength < 150_000 {
			t.Errorf("paused: %+v", task.TaskState)
		}
		at[id] = task.LastWorkerID
	}
	testbed.Eventually(t, "nobody fetches, and the slots are free", func() bool {
		return files.open("/a", "/b", "/c", "/d") == 0 && c.worker("w1").UsedSlots+c.worker("w2").UsedSlots == 0
	})
	slow.Store(false)
	slices.Reverse(ids)
	for _, id := range ids {
		c.verb("resume", id)
	}
	for _, id := range ids {
		task := c.untilStatus(id, model.StatusCompleted)
		if task.Result.WorkerID != at[id] || task.Attempt != 2 || task.Failures != 0 {
			t.Errorf("%s was paused on %s, and is %+v", id, at[id], task.TaskState)
		}
		files.onlyOnce(t, "/"+id)
		if testbed.SHA256(t, c.finished(task)) != files.sha256 {
			t.Errorf("%s is not the file that was served", id)
		}
	}
}

// retry clears the failures of a failed task.
func TestRetry_ResetsFailures(t *testing.T) {
	t.Parallel()
	var there atomic.Bool
	files := serveFiles(t, &files{data: noise(10_000), refuse: func(*http.Request) int {
		if there.Load() {
			return 0
		}
		return http.StatusNotFound
	}})
	c := startCluster(t, false, "w1")
	c.submit("late", files.URL+"/late")
	failed := c.untilStatus("late", model.StatusFailed)
	if failed.Failures != 1 || failed.Error == nil || failed.Error.Class != model.ClassPermanent || failed.FinishedAt == 0 {
		t.Errorf("failed: %+v", failed.TaskState)
	}
	there.Store(true)
	if again := c.verb("retry", "late"); again.Status.Terminal() || again.Failures != 0 || again.FinishedAt != 0 {
		t.Errorf("retried: %+v", again.TaskState)
	}
	if done := c.untilStatus("late", model.StatusCompleted); done.Attempt != 2 || done.Failures != 0 || done.Error != nil {
		t.Errorf("completed: %+v", done.TaskState)
	}
}

// A retry with a new URL for an expired one keeps the bytes.
func TestRetry_NewURLKeepsBytes(t *testing.T) {
	for _, engine := range []string{"aria2", "direct"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			}
			freshLink(t, engine)
		})
	}
}

func freshLink(t *testing.T, engine string) {
	var expired atomic.Bool
	files := serveFiles(t, &files{data: noise(400_000), rate: 100_000, refuse: func(r *http.Request) int {
		if token := r.FormValue("token"); token != "new" && (token != "old" || expired.Load()) {
			return http.StatusForbidden
		}
		return 0
	}})
	// A long backoff: the client has time to come with a new link.
	c := startClusterWith(t, false, []string{"DISPATCHER_TASK_ASSIGNMENT_RETRY_BASE=4s"})
	c.startWorker("w1", "-engine", engine)
	c.submit("film", files.URL+"/film?token=old")
	c.until("film", "is half there", func(t *model.Task) bool { return t.CompletedLength > 150_000 })
	expired.Store(true)
	waits := c.until("film", "waits after a failure", func(t *model.Task) bool { return t.Status == model.StatusPending && t.Error != nil })
	if waits.Failures != 1 || waits.Error.Code != 22 { // no success, as aria2 counts
		t.Errorf("the old link: %+v", waits.TaskState)
	}
	c.must("task.shop.update", fmt.Sprintf(`{"id":"film","url":%q}`, files.URL+"/film?token=new"))
	done := c.untilStatus("film", model.StatusCompleted)
	files.onlyOnce(t, "/film?token=old", "/film?token=new")
	if testbed.SHA256(t, c.finished(done)) != files.sha256 || !strings.HasSuffix(done.URL, "token=new") {
		t.Errorf("%s is not the file that was served", done.URL)
	}
}

// A running download takes a new URL at once and keeps its bytes.
func TestUpdate_NewURLOfRunningTaskKeepsBytes(t *testing.T) {
	t.Parallel()
	files := serveFiles(t, &files{data: noise(400_000), rate: 100_000})
	c := startCluster(t, false, "w1")
	c.submit("film", files.URL+"/film?link=1")
	c.until("film", "is half there", func(t *model.Task) bool { return t.CompletedLength > 150_000 })
	c.must("task.shop.update", fmt.Sprintf(`{"id":"film","url":%q,"priority":"urgent","labels":{"link":"second"}}`, files.URL+"/film?link=2"))
	done := c.untilStatus("film", model.StatusCompleted)
	if done.Attempt != 2 || done.Failures != 0 || done.Priority != model.PriorityUrgent || done.Labels["link"] != "second" {
		t.Errorf("updated: %+v %+v", done.TaskSpec, done.TaskState)
	}
	files.onlyOnce(t, "/film?link=1", "/film?link=2")
	if files.count("/film?link=2") == 0 {
		t.Error("the second link was not used")
	}
	if testbed.SHA256(t, c.finished(done)) != files.sha256 {
		t.Error("it is not the file that was served")
	}
}

// A deleted task no longer exists, and its id stays reserved.
func TestDelete_IDStaysReserved(t *testing.T) {
	t.Parallel()
	files := serveFiles(t, &files{data: noise(10_000)})
	c := startCluster(t, false, "w1")
	c.submit("once", files.URL+"/once")
	done := c.untilStatus("once", model.StatusCompleted)
	if was := c.verb("delete", "once"); was.Status != model.StatusCompleted || was.Result == nil {
		t.Errorf("the answer is not the task before the update: %+v", was.TaskState)
	}
	gone := func() {
		t.Helper()
		for verb, code := range map[string]string{"get": "404", "cancel": "404", "delete": "404", "retry": "404"} {
			if a := c.do("task.shop."+verb, `{"id":"once"}`); a.code != code || !strings.Contains(a.text, "once") {
				t.Errorf("%s of a deleted task: %s %s", verb, a.code, a.text)
			}
		}
		for _, client := range []string{"shop", "thief"} {
			a := c.do("task."+client+".submit", fmt.Sprintf(`{"id":"once","url":%q}`, files.URL+"/once"))
			if a.code != "409" || !strings.Contains(a.text, "once") {
				t.Errorf("%s submits it again: %s %s", client, a.code, a.text)
			}
		}
		if a := c.must("task.shop.list", ``); strings.Contains(string(a.body), "once") {
			t.Errorf("it is still listed: %s", a.body)
		}
	}
	gone()
	c.dispatcher.Kill()
	c.startDispatcher()
	gone()
	if _, err := os.Stat(c.finished(done)); err != nil {
		t.Errorf("a delete without files took the file: %v", err)
	}
	if n := files.count("/once"); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
}

// delete with files removes them from the folder of the worker.
func TestDelete_FilesRemovesThemFromWorkerFolder(t *testing.T) {
	t.Parallel()
	files := serveFiles(t, &files{data: noise(10_000)})
	c := startCluster(t, false, "w1")
	for _, id := range []string{"unwanted", "wanted"} {
		c.submit(id, files.URL+"/"+id)
	}
	unwanted, wanted := c.untilStatus("unwanted", model.StatusCompleted), c.untilStatus("wanted", model.StatusCompleted)
	c.must("task.shop.delete", `{"id":"unwanted","files":true}`)
	testbed.Eventually(t, "the file is gone", func() bool {
		_, err := os.Stat(c.finished(unwanted))
		return os.IsNotExist(err)
	})
	if testbed.SHA256(t, c.finished(wanted)) != files.sha256 {
		t.Error("the other task's file is not whole")
	}
}
