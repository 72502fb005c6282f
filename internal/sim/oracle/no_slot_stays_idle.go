package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkIdle checks, now and then, whether a task waits for nothing at all.
func (c *Oracle) checkIdle() {
	if !c.turn.isConnected || c.world.Now()-c.disturbedAt < 5000 {
		for _, e := range c.taskOrder {
			e.idleSince = 0
		}
		return
	}
	for _, e := range c.taskOrder {
		if e.row == nil || e.row.Status != model.StatusPending || !c.isPlaceable(e) {
			e.idleSince = 0
			continue
		}
		if e.idleSince == 0 {
			e.idleSince = c.world.Now()
		}
		if c.world.Now()-e.idleSince > 45_000 {
			c.violate("no-slot-stays-idle", "%s has waited for %d ms, and a worker that could do it has a free slot", e.id, c.world.Now()-e.idleSince)
			return
		}
	}
}
