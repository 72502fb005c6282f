package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkPlacing checks of every assignment of a turn whether the worker may have it,
// and whether no task was passed over.
func (c *Oracle) checkPlacing() {
	var placed []*taskHistory
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.after.Attempt == ch.before.Attempt || ch.after.Attempt == 0 ||
			ch.before == nil && ch.after.AssignedAt == 0 { // it reuses an id
			continue
		}
		placed = append(placed, ch.task)
		if !c.turn.hasFailed {
			c.checkPlacement(&ch)
		}
	}
	if c.turn.hasFailed {
		return
	}
	c.checkStrategy(placed)
	for _, e := range placed {
		c.checkSlots(e)
		if !c.isRequestedInTurn(e.id, verbUpdate) {
			c.checkOrder(e)
			c.checkFairTurns(e)
		}
	}
}

// checkPlacement checks the worker that a task was assigned to.
func (c *Oracle) checkPlacement(ch *change) {
	if c.isRequestedInTurn(ch.task.id, verbUpdate) {
		return // its holder keeps it
	}
	k := c.worker(ch.after.WorkerID)
	if !c.checkReachable(ch.task, k) {
		return
	}
	c.checkReady(ch.task, k)
	c.checkCapable(ch.task, ch.after, k)
	c.checkNotBefore(ch, k)
	c.checkOtherWorker(ch, k)
	c.checkRefused(ch, k)
}

// checkOrder checks an assigned task against those that wait for the same worker.
func (c *Oracle) checkOrder(e *taskHistory) {
	k := c.worker(e.row.WorkerID)
	for _, o := range c.taskOrder {
		if o.row == nil || o.row.Status != model.StatusPending || !c.waitsFor(o, k) {
			continue
		}
		c.checkPriority(e, o, k)
		c.checkFirstCome(e, o, k)
	}
}
