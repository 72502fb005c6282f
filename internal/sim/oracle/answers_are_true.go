package oracle

import (
	"reflect"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkAccepted requires that the store has each task with an acknowledged submit.
func (c *Oracle) checkAccepted(op engine.Submit, e *taskHistory, a *engine.Answer) {
	if e.row == nil || e.row.Client != op.Client || e.row.SpecHash != op.Hash {
		c.violate("answers-are-true", "the submit of %s by %s is acknowledged; the store has %s", e.id, op.Client, describeTask(e.row))
		return
	}
	earlier := c.isChangedInTurn(e.id) && !c.isCreatedInTurn(e) // a turn before it took the first part of a long message
	if a.Task == nil || a.Task.ID != e.id || a.Task.Status != e.row.Status && !earlier {
		c.violate("answers-are-true", "the submit of %s is answered with %s; the store has %s", e.id, describeTask(a.Task), describeTask(e.row))
	}
}

// checkDone requires that the task is what the verb makes of it.
func (c *Oracle) checkDone(op engine.Event, verb int, e *taskHistory, foreign bool) {
	is := model.Status("")
	if e.row != nil {
		is = e.row.Status
	}
	ok := map[int]bool{
		verbCancel: is == model.StatusCanceled,
		verbPause:  is == model.StatusPaused,
		verbResume: is == model.StatusPending || is == model.StatusQueued,
		verbRetry:  (is == model.StatusPending || is == model.StatusQueued) && hasRetryURL(op, e.row),
		verbUpdate: is != "" && is != model.StatusCompleted && hasUpdate(op, e.row),
		verbDelete: is == "",
	}
	if foreign || !ok[verb] {
		c.violate("answers-are-true", "%T of %s is said to be done; the store has %s", op, e.id, describeTask(e.row))
	}
}

// hasRetryURL reports whether a row has the URL that a retry named.
func hasRetryURL(op engine.Event, t *model.Task) bool {
	r, ok := op.(engine.Retry)
	return ok && (r.URL == "" || t.URL == r.URL)
}

// hasUpdate reports whether a row has what was asked for.
func hasUpdate(op engine.Event, t *model.Task) bool {
	up, ok := op.(engine.Update)
	if !ok {
		return false
	}
	u := up.Change
	return (u.Priority == nil || t.Priority == *u.Priority) && (u.URL == nil || t.URL == *u.URL)
}

// checkAnsweredTask requires that a verb is answered with the task as the turn has left it.
func (c *Oracle) checkAnsweredTask(e *taskHistory, verb int, a *engine.Answer) {
	if a.Err != nil || verb == verbDelete || c.isRequestedInTurn(e.id, verbDelete) || e.row == nil {
		return
	}
	if t := a.Task; t == nil || t.Status != e.row.Status || t.Attempt != e.row.Attempt || t.WorkerID != e.row.WorkerID || t.URL != e.row.URL {
		c.violate("answers-are-true", "a verb on %s is answered with %+v; the store has %+v", e.id, t, e.row)
	}
}

// checkAssignment requires that an attempt goes to the one it was given to.
func (c *Oracle) checkAssignment(worker string, as *model.Assignment) {
	e := c.task(as.Task.ID)
	if e.assignee(as.Attempt) != worker {
		c.violate("answers-are-true", "%s is given %s#%d, which the store gave to %q", worker, e.id, as.Attempt, e.assignee(as.Attempt))
	}
	if e.row == nil {
		c.violate("answers-are-true", "%s is given %s#%d, which the store does not have", worker, e.id, as.Attempt)
		return
	}
	row := *e.row
	row.History = nil // no worker needs it
	if !reflect.DeepEqual(as.Task, &row) || row.Attempt != as.Attempt || row.WorkerID != worker {
		c.violate("answers-are-true", "%s is given %s#%d as %+v; the store has %+v", worker, e.id, as.Attempt, as.Task, &row)
	}
}

// checkForget requires that a worker is ordered to forget only attempts that the store
// knows.
func (c *Oracle) checkForget(worker string, ref model.TaskRef) {
	e := c.task(ref.ID)
	if c.isChangedInTurn(ref.ID) {
		return
	}
	if row := e.row; row == nil || row.Status.Active() && row.WorkerID == worker && row.Attempt == ref.Attempt {
		c.violate("answers-are-true", "%s may forget %s#%d; the store has %s", worker, ref.ID, ref.Attempt, describeTask(row))
		return
	}
	row := e.row
	if row.Attempt == ref.Attempt && e.assignee(ref.Attempt) == worker && e.reported(worker, ref.Attempt) == reportedCompleted|reportedDownloading &&
		row.Status != model.StatusCompleted && !row.Status.Terminal() {
		c.violate("answers-are-true", "%s has completed %s#%d and may forget it; the store has %s", worker, ref.ID, ref.Attempt, describeTask(row))
	}
}

func (c *Oracle) checkDrained(worker string, drained bool) {
	n := 0
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.DrainWorker:
				n += countIf(op.ID == worker)
			case engine.ResumeWorker:
				n += countIf(op.ID == worker)
			case engine.RemoveWorker:
				n += countIf(op.ID == worker)
			}
		}
	}
	if row := c.workerRows[worker]; n == 1 && (row == nil || row.Drained != drained) {
		c.violate("answers-are-true", "%s is said to be drained: %v; the store has %+v", worker, drained, row)
	}
}

func countIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
