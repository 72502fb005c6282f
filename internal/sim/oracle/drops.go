package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkDropOfDeleted checks the reason of a drop of a task that is not in the store.
func (c *Oracle) checkDropOfDeleted(e *taskHistory, worker string, d model.Drop) {
	switch {
	case d.Reason == model.DropDeleted && e.requests[verbDelete] > 0, d.Reason == model.DropCanceled && e.requests[verbCancel] > 0:
	case c.isChangedInTurn(d.ID): // it was deleted after the drop
	case d.Reason != model.DropUnknown:
		c.violate("drops", "%s is told to drop %s#%d, %s; the task does not exist", worker, d.ID, d.Attempt, d.Reason)
	default:
		c.checkUnknown(worker, d)
	}
}

// checkDropOfExisting requires that no worker drops an attempt that it should hold.
func (c *Oracle) checkDropOfExisting(e *taskHistory, worker string, d model.Drop) {
	row := e.row
	switch {
	case d.Reason == model.DropUnknown:
		c.violate("drops", "%s is told that %s is unknown; it is %s", worker, d.ID, row.Status)
	case row.Status.Active() && c.startTakingBack(e, worker, d):
	case row.Status.Active() && row.WorkerID == worker && row.Attempt == d.Attempt && !c.isChangedInTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it holds", worker, d.ID, d.Attempt, d.Reason)
	case row.Status == model.StatusCompleted && row.LastWorkerID == worker && row.Attempt == d.Attempt && !c.isChangedInTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it has completed", worker, d.ID, d.Attempt, d.Reason)
	case c.canReclaim(e, worker, d):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it may reclaim", worker, d.ID, d.Attempt, d.Reason)
	}
}

// canReclaim reports whether a worker lost the attempt by its silence alone, and no other
// worker was assigned.
func (c *Oracle) canReclaim(e *taskHistory, worker string, d model.Drop) bool {
	row := e.row
	return row.Status == model.StatusPending && row.Attempt == d.Attempt && row.LastWorkerID == worker && row.Losses > 0 && !row.Error.IsFailure() &&
		e.failedAttempts == nil && e.requests[verbPause]+e.requests[verbUpdate]+e.requests[verbRetry]+e.requests[verbCancel] == 0 &&
		e.reported(worker, d.Attempt)&reportedRejected == 0 && c.worker(worker).leavingAt == 0 && c.worker(worker).removals == 0 && !c.isChangedInTurn(d.ID)
}
