package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkImmutable requires that the fields of the spec stay unchanged.
func (c *Oracle) checkImmutable(e *taskHistory, b, a *model.Task) {
	if a.ID != b.ID || a.Client != b.Client || a.SpecHash != b.SpecHash || a.Seq != b.Seq || a.CreatedAt != b.CreatedAt {
		c.violate("rows-stay-true", "%s: its id, client, hash, seq or time of birth has changed", e.id)
	}
	if a.URL != b.URL && e.requests[verbUpdate] == 0 {
		c.violate("rows-stay-true", "%s: its url has changed", e.id)
	}
}

// checkTimes requires that a row says when its task began and ended, as its status is:
// retention goes by it.
func (c *Oracle) checkTimes(e *taskHistory, a *model.Task) {
	if a.Status.Terminal() != (a.FinishedAt > 0) {
		c.violate("rows-stay-true", "%s is %s, finished at %d", e.id, a.Status, a.FinishedAt)
	}
	if a.Status == model.StatusDownloading && a.StartedAt == 0 {
		c.violate("rows-stay-true", "%s is downloading and has not started", e.id)
	}
}

// checkResult requires the result of the worker that completed the task.
func (c *Oracle) checkResult(e *taskHistory, a *model.Task) {
	if a.Result == nil || a.Result.WorkerID != e.assignee(a.Attempt) {
		c.violate("rows-stay-true", "%s#%d is completed with the result %+v", e.id, a.Attempt, a.Result)
	}
}
