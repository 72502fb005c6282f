package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkWipe requires that bytes are deleted only after a cancel or a delete.
func (c *Oracle) checkWipe(e *taskHistory, worker string, d model.Drop) {
	if d.Reason.RemovesBytes() && e.requests[verbCancel]+e.requests[verbDelete] == 0 {
		c.violate("wiped-if-wished", "%s is told to wipe %s#%d, %s; it is %s", worker, d.ID, d.Attempt, d.Reason, e.row.Status)
	}
}
