package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The verbs.
const (
	verbSubmit = iota
	verbCancel
	verbPause
	verbResume
	verbRetry
	verbUpdate
	verbDelete
	verbCount
)

// recordVerb notes a permitted request.
func (c *Oracle) recordVerb(op engine.Event) {
	if id, client, verb := verbOf(op); id != "" {
		e := c.task(id)
		if client == "" || e.row == nil || e.row.Client == client {
			e.requests[verb]++
			if changesURL(op) {
				e.requests[verbUpdate]++
			}
		}
	}
}

// changesURL reports whether the operation is a retry that is an update too.
func changesURL(op engine.Event) bool {
	r, ok := op.(engine.Retry)
	return ok && r.URL != ""
}

// verbOf reads an event that acts on a task.
func verbOf(op engine.Event) (id, client string, verb int) {
	switch op := op.(type) {
	case engine.Submit:
		return op.Spec.ID, op.Client, verbSubmit
	case engine.Cancel:
		return op.ID, op.Client, verbCancel
	case engine.Pause:
		return op.ID, op.Client, verbPause
	case engine.Resume:
		return op.ID, op.Client, verbResume
	case engine.Retry:
		return op.ID, op.Client, verbRetry
	case engine.Update:
		return op.ID, op.Client, verbUpdate
	case engine.Delete:
		return op.ID, op.Client, verbDelete
	}
	return "", "", 0
}

// checkVerb checks the answer to a request that changes a task or a worker.
func (c *Oracle) checkVerb(op engine.Event, a *engine.Answer) {
	id, client, verb := verbOf(op)
	c.countEvent(op, a)
	if id == "" { // of a worker
		c.checkAdmin(op, a)
		return
	}
	e := c.task(id)
	foreign := e.row != nil && client != "" && e.row.Client != client
	c.checkAnsweredTask(e, verb, a)
	switch {
	case a.Err != nil:
		c.checkNotFound(e, client, foreign, a)
		c.checkForeign(op, e, foreign, a)
		c.checkConflict(op, e, verb, a)
	case c.isOnlyMention(id):
		c.checkDone(op, verb, e, foreign)
	}
}

// checkAdmin requires that the answer to an operator is in the worker's row, because a
// restart has to know it.
func (c *Oracle) checkAdmin(op engine.Event, a *engine.Answer) {
	if a.Err != nil {
		return
	}
	switch op := op.(type) {
	case engine.DrainWorker:
		c.checkDrained(op.ID, true)
	case engine.ResumeWorker:
		c.checkDrained(op.ID, false)
	}
}

func deletesFiles(op engine.Event) bool {
	d, ok := op.(engine.Delete)
	return ok && d.Files
}

// isAllowed is what can be done with a task in a status.
func isAllowed(s model.Status, verb int) bool {
	ended := s == model.StatusCompleted || s == model.StatusFailed || s == model.StatusCanceled
	switch verb {
	case verbCancel:
		return !ended || s == model.StatusCanceled
	case verbPause:
		return !ended
	case verbUpdate:
		return s != model.StatusCompleted
	case verbResume:
		return s == model.StatusPaused
	case verbRetry:
		return s == model.StatusFailed || s == model.StatusCanceled
	case verbDelete:
		return ended
	}
	return false
}
