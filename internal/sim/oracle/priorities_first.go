package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkPriority requires that no task of a higher priority waits for the worker.
func (c *Oracle) checkPriority(e, o *taskHistory, k *workerHistory) {
	if c.goesBefore(o, e) {
		c.violate("priorities-first", "%s (%s) is assigned to %s, and %s (%s) waits", e.id, e.row.Priority, k.name, o.id, o.row.Priority)
	}
}

// goesBefore reports whether o has to be placed before e for its priority. With
// ageing a wait counts too; then it is certain only if o is alone in its priority,
// and was in this whole turn.
func (c *Oracle) goesBefore(o, e *taskHistory) bool {
	ageing := millis(c.cfg.Ageing)
	if ageing == 0 {
		return o.row.Priority > e.row.Priority
	}
	if o.row.Priority == e.row.Priority || c.clockSetBackAt > 0 {
		return false
	}
	for _, other := range c.taskOrder {
		if other != o && other.row != nil && other.row.Priority == o.row.Priority && (other.row.Status == model.StatusPending || c.isChangedInTurn(other.id)) {
			return false
		}
	}
	age := func(t *model.Task) model.Time { return t.CreatedAt - ageing*model.Time(t.Priority) }
	return age(o.row) < age(e.row)
}
