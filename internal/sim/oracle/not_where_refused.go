package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkOtherWorker requires that what failed for its worker's sake, and does not wait for
// that, goes to another one.
func (c *Oracle) checkOtherWorker(ch *change, k *workerHistory) {
	b := ch.before
	if b == nil || ch.task.reported(k.name, b.Attempt)&reportedWorkerError == 0 || ch.task.assignee(b.Attempt) != k.name || !c.hasExclusionSets() ||
		c.isRequestedInTurn(ch.task.id, verbPause) || c.isRequestedInTurn(ch.task.id, verbRetry) || c.isRequestedInTurn(ch.task.id, verbCancel) {
		return
	}
	inTurn := b.WorkerID == k.name && ch.after.Failures > b.Failures
	after := b.Status == model.StatusPending && b.RetryAt == 0 && b.Failures > 0 && b.Error != nil && b.Error.Class == model.ClassWorker &&
		c.world.Now()-ch.task.statusSince < 2*millis(c.cfg.HeartbeatInterval) && c.loadedAt < ch.task.statusSince && c.disturbedAt < ch.task.statusSince
	if inTurn || after {
		c.violate("not-where-refused", "%s#%d failed for the sake of %s, and is given to it again", ch.task.id, b.Attempt, k.name)
	}
}

// checkRefused requires that a task does not return at once to a worker that refused it.
func (c *Oracle) checkRefused(ch *change, k *workerHistory) {
	e := ch.task
	if !c.hasExclusionSets() || e.requests[verbPause]+e.requests[verbRetry] > 0 || e.reported(k.name, previousAttempt(ch))&reportedRejected == 0 {
		return
	}
	for _, s := range e.avoided {
		if s.worker == k.name && c.world.Now()-s.at < 2*millis(c.cfg.HeartbeatInterval) {
			c.violate("not-where-refused", "%s is assigned to %s, which refused it %d ms ago", e.id, k.name, c.world.Now()-s.at)
		}
	}
}
