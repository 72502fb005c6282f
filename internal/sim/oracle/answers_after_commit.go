package oracle

// checkCommitFirst requires that nothing has left before the commit of the turn.
func (c *Oracle) checkCommitFirst() {
	if c.turn.outputs > 0 {
		c.violate("answers-after-commit", "%d answers or messages left before the commit of their turn", c.turn.outputs)
	}
}

// checkSilentFailure requires that nothing but refusals leaves a turn that failed.
func (c *Oracle) checkSilentFailure() {
	if c.turn.hasFailed && c.turn.outputs > 0 {
		c.violate("answers-after-commit", "the turn failed, and %d answers or messages left", c.turn.outputs)
	}
}
