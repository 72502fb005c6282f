package oracle

// checkOutputs checks what left in a turn against the store.
func (c *Oracle) checkOutputs() {
	for _, s := range c.turn.assigns {
		c.checkAssignment(s.worker, &s.Assignment)
	}
	for _, s := range c.turn.drops {
		c.checkDrop(s.worker, s.Drop)
	}
	c.checkSilentFailure()
	if !c.turn.hasFailed {
		c.checkEvents()
	}
}
