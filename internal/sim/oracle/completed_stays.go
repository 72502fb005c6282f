package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkCompletedStays requires that a completed task does not change.
func (c *Oracle) checkCompletedStays(e *taskHistory, b, a *model.Task) {
	if a.Status != b.Status || a.Attempt != b.Attempt || a.WorkerID != "" {
		c.violate("completed-stays", "%s was completed and is %s, attempt %d", e.id, a.Status, a.Attempt)
	}
}
