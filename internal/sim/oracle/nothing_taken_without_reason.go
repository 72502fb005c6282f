package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkReleased checks why a task was taken from its holder.
func (c *Oracle) checkReleased(e *taskHistory, b, a *model.Task) {
	k := c.worker(b.WorkerID)
	unlisted := c.world.Now()-max(e.listedAt, e.assignedAt) >= 2*c.listingGrace()
	switch {
	case a.Failures > b.Failures, a.Losses > b.Losses: // asked for by checkBlame
	case e.reported(b.WorkerID, b.Attempt)&(reportedRejected|reportedFailed) != 0:
	case k.leavingAt > 0 && k.leavingAt >= k.heardAt: // it deregistered
	case unlisted, k.removals > 0, e.requests[verbUpdate] > 0:
	case e.requests[verbPause] > 0 && e.requests[verbResume] > 0, e.requests[verbCancel] > 0 && e.requests[verbRetry] > 0: // both in one turn
	case c.checkTakenBack(e, k, b.Attempt), c.mayBeOmitted(e, b):
	default:
		c.violate("nothing-taken-without-reason", "%s#%d is taken from %s, which lists it, has not failed and was not silent",
			e.id, b.Attempt, b.WorkerID)
	}
}
