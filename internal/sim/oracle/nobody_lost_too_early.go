package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkLost requires that a worker is lost only after the heartbeat timeout.
func (c *Oracle) checkLost(e *taskHistory, b *model.Task) {
	if k := c.worker(e.assignee(b.Attempt)); !c.isSilent(k.name) {
		c.violate("nobody-lost-too-early", "%s counts the loss of %s, heard %d ms ago; timeouts were reset %d ms ago",
			e.id, k.name, c.world.Now()-k.heardAt, c.world.Now()-c.timeoutsResetAt)
	}
}
