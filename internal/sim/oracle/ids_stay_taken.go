package oracle

// checkIDReuse requires that the id of a deleted task stays taken for retention.ids. It
// goes by the wall clock, so it does not ask after that was turned.
func (c *Oracle) checkIDReuse(e *taskHistory) {
	keep := millis(c.cfg.RetainIDs)
	if e.deleted && e.deletedAt > 0 && c.clockChangedAt <= e.deletedAt && c.world.Now()-e.deletedAt < keep-1000 {
		c.violate("ids-stay-taken", "%s was deleted %d ms ago, and is taken in again", e.id, c.world.Now()-e.deletedAt)
	}
}
