package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// Unfinished names a task that can still end and has not; "" if all such have ended.
func (c *Oracle) Unfinished(servable func(*model.Task) bool) string {
	for _, e := range c.taskOrder {
		switch {
		case e.row == nil || e.row.Status.Terminal() || e.row.Status == model.StatusPaused:
		case e.row.Status == model.StatusPending && !servable(e.row):
		default:
			return e.id + " is " + describeTask(e.row)
		}
	}
	return ""
}

// CheckAllEnded requires, at the end, that no task is left.
func (c *Oracle) CheckAllEnded() {
	for _, e := range c.taskOrder {
		if e.row != nil && !e.row.Status.Terminal() {
			c.world.Violate("everything-ends", "%s is %s at the end", e.id, e.row.Status)
		}
	}
}
