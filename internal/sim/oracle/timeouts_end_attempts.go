package oracle

// checkTimeout requires that an attempt ends at its timeout.
func (c *Oracle) checkTimeout(e *taskHistory) {
	t, now := e.row, c.world.Now()
	if t.Timeout > 0 && min(now-c.disturbedAt, now-e.assignedAt) > millis(t.Timeout)+c.heartbeatTimeout()+c.listingGrace()+10_000 {
		c.violate("timeouts-end-attempts", "%s#%d has a timeout of %v and has been %s for %d ms", e.id, t.Attempt, t.Timeout, t.Status, now-e.assignedAt)
	}
}
