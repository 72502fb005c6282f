package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// byHand is a worker that does only what the test says.
type byHand struct {
	c    *cluster
	name string
	seq  int
}

// beat says that the worker lives, and returns what it should do. It lists nothing.
func (w *byHand) beat() *model.HeartbeatAnswer {
	w.c.t.Helper()
	w.seq++
	a := w.c.must("worker."+w.name+".heartbeat", fmt.Sprintf(
		`{"instance":"hand","epoch":1,"seq":%d,"state":"ready","total_slots":100,"capabilities":{"protocols":["http","https"]}}`, w.seq))
	var answer model.HeartbeatAnswer
	if err := json.Unmarshal(a.body, &answer); err != nil {
		w.c.t.Fatalf("%s: %v", a.body, err)
	}
	return &answer
}

// report says how attempt 1 of a task is.
func (w *byHand) report(id, rest string) *answer {
	w.c.t.Helper()
	return w.c.do("worker."+w.name+".report", fmt.Sprintf(`{"id":%q,"attempt":1,%s}`, id, rest))
}

// bring submits a task and brings it into a status.
func (w *byHand) bring(id string, status model.Status) {
	w.c.t.Helper()
	spec := fmt.Sprintf(`"id":%q,"url":"http://files.example/%s"`, id, id)
	if status == model.StatusPending {
		spec += `,"not_before":"2100-01-01T00:00:00Z"`
	}
	w.c.must("task.shop.submit", "{"+spec+"}")
	if status == model.StatusPending {
		return
	}
	w.c.untilStatus(id, model.StatusQueued)
	switch status {
	case model.StatusDownloading:
		w.report(id, `"status":"downloading","completed_length":5,"total_length":10`)
	case model.StatusPaused:
		w.c.verb("pause", id)
	case model.StatusCompleted:
		w.report(id, `"status":"completed","result":{"files":[{"path":"f","length":10}],"total_length":10}`)
	case model.StatusFailed:
		w.report(id, `"status":"failed","error":{"code":3,"message":"not found","class":"permanent"}`)
	case model.StatusCanceled:
		w.c.verb("cancel", id)
	}
	if now := getTask(w.c.t, w.c.nc, "shop", id); now == nil || now.Status != status {
		w.c.t.Fatalf("%s should be %s: %+v", id, status, now)
	}
}

// patient prevents that a worker is marked as lost during the test.
var patient = []string{
	"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=30", "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=90",
}

// legal maps each status that a verb accepts to the status after it; "" is unchanged.
var legal = map[string]struct {
	from  []model.Status
	leads []model.Status
}{
	"cancel": {[]model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused, model.StatusCanceled}, []model.Status{model.StatusCanceled}},
	"pause":  {[]model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused}, []model.Status{model.StatusPaused}},
	"resume": {[]model.Status{model.StatusPaused}, []model.Status{model.StatusPending, model.StatusQueued}},
	"retry":  {[]model.Status{model.StatusFailed, model.StatusCanceled}, []model.Status{model.StatusPending, model.StatusQueued}},
	"update": {[]model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused, model.StatusFailed, model.StatusCanceled}, nil},
	"delete": {[]model.Status{model.StatusCompleted, model.StatusFailed, model.StatusCanceled}, nil},
}

// Each verb accepts its statuses, and its error names the status that it refuses.
func TestVerbs_EachAcceptsItsStatusesOnly(t *testing.T) {
	t.Parallel()
	c := startClusterWith(t, false, patient)
	w := &byHand{c: c, name: "hand"}
	w.beat()
	for verb, rule := range legal {
		for _, status := range model.Statuses {
			id := verb + "-" + string(status)
			w.bring(id, status)
			body := fmt.Sprintf(`{"id":%q}`, id)
			if verb == "update" {
				body = fmt.Sprintf(`{"id":%q,"priority":"high"}`, id)
			}
			before := getTask(t, c.nc, "shop", id)
			a := c.do("task.shop."+verb, body)
			if !slices.Contains(rule.from, status) {
				if a.code != "409" || !strings.Contains(a.text, id) || !strings.Contains(a.text, string(status)) {
					t.Errorf("%s of a task that is %s: %q %q, want 409 with the status", verb, status, a.code, a.text)
				}
				if after := getTask(t, c.nc, "shop", id); after.UpdatedAt != before.UpdatedAt || after.Status != status {
					t.Errorf("a refused %s has changed it: %+v, then %+v", verb, before.TaskState, after.TaskState)
				}
				continue
			}
			leads := rule.leads
			if leads == nil {
				leads = []model.Status{status}
			}
			if a.code != "" || !slices.Contains(leads, c.task(a).Status) {
				t.Errorf("%s of a task that is %s: %q %q %s, want %v", verb, status, a.code, a.text, a.body, leads)
			}
		}
	}
}

// The worker of a deleted task is ordered to remove its files.
func TestDelete_WorkerRemovesFiles(t *testing.T) {
	t.Parallel()
	c := startClusterWith(t, false, patient)
	w := &byHand{c: c, name: "hand"}
	w.beat()
	w.bring("kept", model.StatusCompleted)
	w.bring("erased", model.StatusCompleted)
	w.bring("failed", model.StatusFailed)
	c.must("task.shop.delete", `{"id":"kept"}`)
	c.must("task.shop.delete", `{"ids":["erased","failed"],"files":true}`)
	var told []string
	for _, d := range w.beat().Drop {
		told = append(told, fmt.Sprintf("%s %d %s", d.ID, d.Attempt, d.Reason))
	}
	slices.Sort(told)
	if want := []string{"erased 1 deleted", "failed 1 deleted"}; !slices.Equal(told, want) {
		t.Errorf("the worker is told %q, want %q", told, want)
	}

	w.bring("later", model.StatusCompleted)
	c.must("worker.hand.heartbeat", `{"instance":"hand","epoch":1,"seq":1000,"state":"leaving"}`)
	a := c.do("task.shop.delete", `{"id":"later","files":true}`)
	if a.code != "409" || !strings.Contains(a.text, "files: ") || !strings.Contains(a.text, "hand") || !strings.Contains(a.text, "later") {
		t.Errorf("a delete of files of a worker that is away: %q %q", a.code, a.text)
	}
	c.must("task.shop.delete", `{"id":"later"}`)
}

// An operator acts on the tasks of all clients.
func TestAdmin_OperatorActsOnAllTasks(t *testing.T) {
	t.Parallel()
	c := startClusterWith(t, false, patient)
	w := &byHand{c: c, name: "hand"}
	w.beat()
	w.bring("theirs", model.StatusDownloading)
	for _, verb := range []string{"pause", "resume", "cancel", "retry", "update", "delete"} {
		body := `{"id":"theirs"}`
		if verb == "update" {
			body = `{"id":"theirs","priority":1}`
		}
		if a := c.do("task.thief."+verb, body); a.code != "404" || !strings.Contains(a.text, "theirs") {
			t.Errorf("%s by another client: %q %q", verb, a.code, a.text)
		}
	}
	for _, step := range []struct{ verb, leads string }{
		{"pause", "paused"}, {"resume", "pending queued"}, {"cancel", "canceled"}, {"retry", "pending queued"}, {"cancel", "canceled"}, {"delete", "canceled"},
	} {
		task := c.task(c.must("admin.task."+step.verb, `{"id":"theirs"}`))
		if !strings.Contains(step.leads, string(task.Status)) || task.Client != "shop" {
			t.Errorf("%s by an operator: %s's task is %s, want %s", step.verb, task.Client, task.Status, step.leads)
		}
	}
}
