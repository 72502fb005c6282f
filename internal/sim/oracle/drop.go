package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkDrop checks the drop of one attempt by one worker.
func (c *Oracle) checkDrop(worker string, d model.Drop) {
	e := c.task(d.ID)
	if e.row == nil || c.isCreatedInTurn(e) {
		c.checkDropOfDeleted(e, worker, d)
		return
	}
	c.checkDropOfExisting(e, worker, d)
	c.checkWipe(e, worker, d)
}
