package oracle

// CheckHoldsNothing refuses, at the end, a task that a worker still holds.
func (c *Oracle) CheckHoldsNothing(worker, id string, attempt int64) {
	c.world.Violate("workers-agree", "%s holds %s#%d at the end", worker, id, attempt)
}
