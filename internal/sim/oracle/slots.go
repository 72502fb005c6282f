package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkSlots requires that a worker which is given something had a slot for it, or takes it
// beyond its slots.
func (c *Oracle) checkSlots(e *taskHistory) {
	k := c.worker(e.row.WorkerID)
	if used, _ := c.countSlots(k); k.heartbeat != nil && used > k.heartbeat.TotalSlots+k.heartbeat.Prefetch && !c.isRequestedInTurn(e.id, verbUpdate) {
		c.violate("slots", "%s is given %s: it has %d tasks in %d slots", k.name, e.id, used, k.heartbeat.TotalSlots)
	}
	c.checkAhead(e, k)
	c.checkHostLimit(e)
}

// checkUsedSlots requires that the reported slots are those of the tasks that a worker
// holds or is stopping.
func (c *Oracle) checkUsedSlots(row *model.Worker) {
	k := c.worker(row.ID)
	certain, most := c.countSlots(k)
	certain, most = min(certain, row.TotalSlots), min(most, row.TotalSlots) // the rest is ahead
	if row.UsedSlots < certain || row.UsedSlots > most {
		c.violate("slots", "%s is reported with %d used slots; it holds or stops %d, at most %d", row.ID, row.UsedSlots, certain, most)
	}
}
