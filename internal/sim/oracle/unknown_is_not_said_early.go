package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkUnknown requires that no task is called unknown within heartbeat_timeout of a
// start: the store may be the wrong one.
func (c *Oracle) checkUnknown(worker string, d model.Drop) {
	if age := c.world.Now() - c.loadedAt; age < c.heartbeatTimeout() {
		c.violate("unknown-is-not-said-early", "%s is told that %s is unknown, %d ms after a start", worker, d.ID, age)
	}
}
