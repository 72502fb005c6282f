package oracle

// checkLeases checks, now and then, how long tasks have been held.
func (c *Oracle) checkLeases() {
	for _, e := range c.taskOrder {
		if e.row != nil && e.row.Status.Active() {
			c.checkListed(e)
			c.checkTimeout(e)
		}
	}
}
