package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// CheckAcknowledged requires every task that was acknowledged.
func (c *Oracle) CheckAcknowledged() {
	for _, e := range c.taskOrder {
		if e.acknowledged && e.row == nil {
			c.world.Violate("nothing-lost", "%s was acknowledged and is not in the store", e.id)
		}
	}
}

// checkDeleted requires that a deletion was requested or that the retention is over.
func (c *Oracle) checkDeleted(ch *change) {
	e := ch.task
	if !ch.before.Status.Terminal() && !(c.mayHaveEnded(e, ch.before) && e.requests[verbDelete] > 0) {
		c.violate("nothing-lost", "%s is deleted; it was %s", ch.task.id, ch.before.Status)
		return
	}
	if ch.task.requests[verbDelete] > 0 {
		return
	}
	if c.isExpired(ch.before) {
		c.world.CountEvent("expire")
		return
	}
	c.violate("nothing-lost", "%s is deleted, and nobody asked for it", ch.task.id)
}

// mayHaveEnded reports whether a task can have ended in the turn that deleted it.
// Its row is gone, so it is only asked for what would lead to that. A worker can be
// lost, heard and lost again in one turn after a stall.
func (c *Oracle) mayHaveEnded(e *taskHistory, b *model.Task) bool {
	lost := b.Status.Active() && b.Losses+2 >= c.cfg.MaxLosses
	late := b.Status.Active() && b.Timeout > 0 && b.Failures+1 >= b.MaxAttempts
	return e.holderReported(b.Attempt, reportedCompleted|reportedFailed) || e.requests[verbCancel] > 0 || lost || late
}

// isExpired reports whether the retention time of a terminal task has passed.
func (c *Oracle) isExpired(t *model.Task) bool {
	keep := map[model.Status]model.Duration{
		model.StatusCompleted: c.retention.Completed, model.StatusFailed: c.retention.Failed,
		model.StatusCanceled: c.retention.Canceled,
	}[t.Status]
	return keep > 0 && c.world.Wall()-t.FinishedAt >= millis(keep)
}

// checkNotFound requires that a client finds its task if the store has it.
func (c *Oracle) checkNotFound(e *taskHistory, client string, foreign bool, a *engine.Answer) {
	if a.Err.Code == model.CodeNotFound && e.row != nil && !foreign && !c.isChangedInTurn(e.id) {
		c.violate("nothing-lost", "%s is told that %s does not exist; the store has %s", client, e.id, describeTask(e.row))
	}
}
