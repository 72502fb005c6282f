package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkHolder requires that the holder of a task is the worker that its attempt was
// assigned to.
func (c *Oracle) checkHolder(e *taskHistory, a *model.Task) {
	if (a.WorkerID != "") != a.Status.Active() {
		c.violate("one-holder", "%s is %s, held by %q", e.id, a.Status, a.WorkerID)
	}
	if a.WorkerID != "" && e.assignee(a.Attempt) != a.WorkerID {
		c.violate("one-holder", "%s#%d is held by %s, and was given to %q", e.id, a.Attempt, a.WorkerID, e.assignee(a.Attempt))
	}
}
