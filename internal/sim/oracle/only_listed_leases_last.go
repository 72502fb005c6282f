package oracle

// checkListed requires that a worker lists the tasks that it keeps: a heartbeat renews
// only these.
func (c *Oracle) checkListed(e *taskHistory) {
	t := e.row
	k := c.worker(t.WorkerID)
	most := 2*c.listingGrace() + c.heartbeatTimeout() + 10_000
	quiet := c.world.Now() - max(e.listedAt, e.assignedAt)
	if min(quiet, c.world.Now()-c.disturbedAt) > most && !c.listsPartially(k) {
		c.violate("only-listed-leases-last", "%s#%d is %s at %s, which has not listed it for %d ms", e.id, t.Attempt, t.Status, k.name, quiet)
	}
}
