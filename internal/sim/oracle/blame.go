package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkIncrements requires that a turn counts at most one failure and one loss of a task.
func (c *Oracle) checkIncrements(e *taskHistory, b, a *model.Task) bool {
	failures, losses := a.Failures-b.Failures, a.Losses-b.Losses
	if failures < 0 || failures > 1 || losses < 0 || losses > 1 {
		c.violate("blame", "%s: failures %d to %d, losses %d to %d in one turn", e.id, b.Failures, a.Failures, b.Losses, a.Losses)
		return false
	}
	return true
}

// checkBlame requires that a failure is counted once for each attempt, and only if its
// holder failed or took too long.
func (c *Oracle) checkBlame(e *taskHistory, b *model.Task) bool {
	late := b.Timeout > 0 && (c.world.Now()-e.assignedAt >= millis(b.Timeout) || c.world.Now()-c.loadedAt >= c.heartbeatTimeout())
	if !e.holderReported(b.Attempt, reportedFailed) && !late {
		c.violate("blame", "%s#%d counts as a failure, and its holder %q did not fail", e.id, b.Attempt, e.assignee(b.Attempt))
		return false
	}
	if slices.Contains(e.failedAttempts, b.Attempt) {
		c.violate("blame", "%s#%d counts as a failure a second time", e.id, b.Attempt)
	}
	e.failedAttempts = append(e.failedAttempts, b.Attempt)
	return true
}

// checkError requires that the error of a task that returns to the queue was reported.
func (c *Oracle) checkError(e *taskHistory, b, a *model.Task) {
	if b.Status.Active() && a.Status == model.StatusPending && a.Error.IsFailure() && a.Error != b.Error &&
		e.reported(b.WorkerID, b.Attempt)&(reportedFailed|reportedRejected) == 0 {
		c.violate("blame", "%s: no worker reported its error %q", e.id, a.Error.Message)
	}
}
