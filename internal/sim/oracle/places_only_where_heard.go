package oracle

// checkReachable requires a connected dispatcher and a worker that it hears.
func (c *Oracle) checkReachable(e *taskHistory, k *workerHistory) bool {
	switch {
	case !c.turn.isConnected:
		c.violate("places-only-where-heard", "%s is assigned to %s while the dispatcher is disconnected", e.id, k.name)
	case !k.isLive || c.world.Now()-max(k.heardAt, c.timeoutsResetAt, c.disturbedAt) > c.heartbeatTimeout()+6000:
		c.violate("places-only-where-heard", "%s is assigned to %s, which was last heard %d ms ago", e.id, k.name, c.world.Now()-k.heardAt)
	default:
		return true
	}
	return false
}
