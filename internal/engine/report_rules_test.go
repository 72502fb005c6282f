package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// combinations calls do with every combination of task, worker, attempt and status.
func combinations(do func(reportKey)) {
	for t := range values(anyTask) {
		for w := range values(anyWorker) {
			for a := range values(anyAttempt) {
				for s := range values(anyStatus) {
					do(reportKey{t, w, a, s})
				}
			}
		}
	}
}

// Exactly one row of the table covers each combination, and the index holds its action.
func TestReportRules_CoverEachCombinationOnce(t *testing.T) {
	combinations(func(k reportKey) {
		var found []reportRule
		for _, r := range reportRules {
			if r.task&k.task != 0 && r.worker&k.worker != 0 && r.attempt&k.attempt != 0 && r.status&k.status != 0 {
				found = append(found, r)
			}
		}
		if len(found) != 1 || reportIndex[k.index()] != found[0].action {
			t.Errorf("%s: rows %+v, index %d", words(k), found, reportIndex[k.index()])
		}
	})
}

// For each combination that can occur, the engine does what the table says: for a
// report of its own and for one in a heartbeat.
func TestReport_EachCombinationFollowsTheTable(t *testing.T) {
	combinations(func(k reportKey) {
		possible := k.task != taskAssigned || k.worker != workerDeparted
		if k.task == taskUnknown || k.task == taskUndecided {
			possible = k.worker == workerOther
		}
		if !possible {
			return
		}
		t.Run(strings.ReplaceAll(words(k), " ", ""), func(t *testing.T) { reportOnce(t, k, false) })
		if k.worker != workerDeparted { // a heartbeat brings it back
			t.Run(strings.ReplaceAll(words(k), " ", "")+",heartbeat", func(t *testing.T) { reportOnce(t, k, true) })
		}
	})
}

// reportOnce brings attempt 2 of a task into the state, reports, and compares what
// came of it with the table.
func reportOnce(t *testing.T, k reportKey, heartbeat bool) {
	t.Helper()
	w := newWorld(t, testConfig())
	do := func(line string) { w.turn(w.event(strings.Fields(line))) }
	do("heartbeat w1")
	do("heartbeat w2 slots=0")
	do("submit shop a")
	do("report w1 a#1:failed:retryable")
	w.pass(model.Seconds(6)) // the backoff ends: attempt 2
	id := "a"
	leave := func() {
		if k.worker == workerDeparted {
			do("heartbeat w1 state=leaving")
		}
	}
	switch k.task {
	case taskLost:
		if leave(); k.worker != workerDeparted {
			w.pass(model.Seconds(20))
			do("heartbeat w2 slots=0")
			w.pass(model.Seconds(10))
		}
	case taskPending:
		do("report w1 a#2:failed:retryable")
		leave()
	case taskPaused:
		do("pause shop a")
		leave()
	case taskCompleted:
		do("report w1 a#2:completed")
		leave()
	case taskFailed:
		do("report w1 a#2:failed:permanent")
		leave()
	case taskCanceled:
		do("cancel shop a")
		leave()
	case taskUnknown:
		id = "ghost"
		w.pass(model.Seconds(20))
		do("heartbeat w1")
		do("heartbeat w2 slots=0")
		w.pass(model.Seconds(10))
	case taskUndecided:
		id = "ghost"
	}
	r := w.said(fmt.Sprintf("%s#%d:%s", id, map[reportedAttempt]int{attemptLower: 1, attemptCurrent: 2, attemptHigher: 7}[k.attempt],
		map[reportedStatus]string{
			statusDownloading: "downloading:50", statusQueued: "queued", statusPaused: "paused", statusCompleted: "completed",
			statusFailed: "failed:retryable", statusRejected: "rejected",
		}[k.status]))
	name := "w1"
	if k.worker == workerOther {
		name = "w2"
	}
	before := w.tasks["a"]
	var ev Event = Report{Worker: name, Report: r}
	if heartbeat {
		ev = Heartbeat{&model.Heartbeat{
			WorkerID: name, Instance: name + "-i", Epoch: 1, Seq: 1000, State: model.StateReady, Partial: true, Tasks: []model.Report{r},
		}}
	}
	answers, plan := w.turn(ev)
	w.compareReport(reportIndex[k.index()], heartbeat, name, before, &answers[0], &plan)
}

// compareReport compares the answer to a report and the row of its task with an action.
func (w *world) compareReport(want reportAction, heartbeat bool, name string, before *model.Task, a *Answer, plan *Plan) {
	w.t.Helper()
	drop, forgotten, code := model.DropReason(""), false, model.Code(0)
	switch {
	case heartbeat:
		if d := a.Heartbeat.Drop; len(d) > 0 {
			drop = d[0].Reason
		}
		forgotten = len(a.Heartbeat.Forget) > 0
	default:
		if a.Drop != nil {
			drop = a.Drop.Reason
		}
		if a.Err != nil {
			code = a.Err.Code
		}
		wantCode := model.Code(0)
		if want.dropReason() != "" {
			wantCode = model.CodeConflict
		} else if want == actionDefer {
			wantCode = model.CodeUnavailable
		}
		if code != wantCode {
			w.t.Errorf("the answer has the code %d, not %d", code, wantCode)
		}
	}
	if drop != want.dropReason() || heartbeat && forgotten != want.ends() {
		w.t.Errorf("the answer drops for %q and forgets %v, the action is %d", drop, forgotten, want)
	}
	if noted := len(plan.Notes) > 0; noted != (want == actionDropHigher) {
		w.t.Errorf("the notes are %v", plan.Notes)
	}
	row := w.tasks["a"]
	var ok bool
	switch want {
	case actionProgress:
		ok = row.Status == model.StatusDownloading && row.WorkerID == name
	case actionRenew:
		ok = row.Status == before.Status && row.WorkerID == name
	case actionQueue:
		ok = row.Status == model.StatusQueued && row.WorkerID == name && row.Attempt == before.Attempt
	case actionComplete:
		ok = row.Status == model.StatusCompleted && row.Result.WorkerID == name
	case actionFail:
		ok = row.Status == model.StatusPending && row.Failures == before.Failures+1
	case actionReject:
		ok = row.Status == model.StatusPending && row.Failures == before.Failures && row.Error.Class == model.ClassWorker
	default:
		ok = row.Status == before.Status && row.Attempt == before.Attempt && row.Failures == before.Failures
	}
	if !ok {
		w.t.Errorf("the task was %+v and is %+v", before.TaskState, row.TaskState)
	}
}

// docs/scheduling.md shows the table as it is.
func TestReportRules_DocumentShowsTheTable(t *testing.T) {
	const path = "../../docs/scheduling.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| task | reporting worker | attempt | reported status | action |\n|---|---|---|---|---|\n")
	for _, r := range reportRules {
		fmt.Fprintf(&table, "| %s | %s |\n", strings.Join(wordsOf(reportKey{r.task, r.worker, r.attempt, r.status}), " | "), actionWords[r.action])
	}
	const begin, end = "<!-- report rules: begin -->\n", "<!-- report rules: end -->"
	head, rest, _ := strings.Cut(string(text), begin)
	shown, tail, found := strings.Cut(rest, end)
	if *update && found {
		if err := os.WriteFile(path, []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown != table.String() {
		t.Errorf("%s shows another table (go test -update writes it):\n%s", path, table.String())
	}
}

var actionWords = map[reportAction]string{
	actionProgress:       "record progress; the task is `downloading`",
	actionRenew:          "renew the lease only",
	actionQueue:          "renew the lease; a lost task is `queued` again",
	actionComplete:       "complete the task",
	actionFail:           "count a failure; retry or fail the task",
	actionReject:         "assign elsewhere; no failure",
	actionForget:         "`forget`: applied before",
	actionDefer:          "503 (in a heartbeat: no answer); the worker repeats it",
	actionDropSuperseded: "409, `drop` superseded",
	actionDropHigher:     "409, `drop` superseded; the next attempt is above the reported one",
	actionDropPaused:     "409, `drop` paused",
	actionDropCanceled:   "409, `drop` canceled",
	actionDropUnknown:    "409, `drop` unknown",
}

func words(k reportKey) string { return strings.Join(wordsOf(k), ",") }

// wordsOf puts each set of a combination into words.
func wordsOf(k reportKey) []string {
	return []string{
		setWords(k.task, anyTask, "assigned", "lost", "pending", "paused", "completed", "failed", "canceled", "unknown", "undecided"),
		setWords(k.worker, anyWorker, "holder", "departed holder", "other"),
		setWords(k.attempt, anyAttempt, "current", "lower", "higher"),
		setWords(k.status, anyStatus, "downloading", "queued", "paused", "completed", "failed", "rejected"),
	}
}

func setWords[T reportedTask | reportingWorker | reportedAttempt | reportedStatus](set, all T, names ...string) string {
	if set == all {
		return "any"
	}
	var list []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}
