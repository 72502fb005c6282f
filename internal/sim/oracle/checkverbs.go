package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkVerb asks that what was done to a task is in the store, and that nobody is
// told that what was acknowledged does not exist.
func (c *Oracle) checkVerb(op engine.Event, a *dispatch.Answer) {
	id, client, verb := verbOf(op)
	if id == "" { // of a worker
		c.countEvent(op, a)
		c.checkAdmin(op, a)
		return
	}
	e := c.task(id)
	row := e.row
	foreign := row != nil && client != "" && row.Client != client
	c.checkAnsweredTask(e, verb, a)
	c.countEvent(op, a)
	switch {
	case a.Err == nil && (row == nil || foreign) && verb != verbDelete && c.isOnlyMention(id):
		c.violate("answers-are-true", "%T of %s by %s is said to be done; the store has %s", op, id, client, describeTask(row))
	case a.Err == nil && !c.isOnlyMention(id):
	case a.Err == nil:
		c.checkDone(op, verb, e)
	case a.Err.Code == model.CodeNotFound && row != nil && !foreign && !c.isChangedInTurn(id):
		c.violate("nothing-lost", "%s says that there is no %s; the store has %s", client, id, describeTask(row))
	case foreign && a.Err.Code != model.CodeNotFound && a.Err.Code != model.CodeUnavailable:
		c.violate("refusals", "%T of another's %s is answered %d", op, id, a.Err.Code)
	case a.Err.Code == model.CodeConflict && !c.isChangedInTurn(id) && row != nil && isAllowed(row.Status, verb) && !deletesFiles(op):
		c.violate("refusals", "%T of %s is refused; it is %s: %s", op, id, row.Status, a.Err.Message)
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

// checkDone asks that the task is what the verb makes of it.
func (c *Oracle) checkDone(op engine.Event, verb int, e *taskHistory) {
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
	if !ok[verb] {
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
