package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkLimits requires that no task was accepted above the limits.
func (c *Oracle) checkLimits() {
	born := false
	for _, ch := range c.turn.changes {
		born = born || ch.before == nil
	}
	if !born {
		return
	}
	waiting, own := int64(0), make(map[string]int64)
	for _, e := range c.taskOrder {
		if e.row != nil && (e.row.Status == model.StatusPending || e.row.Status == model.StatusPaused) && !c.isChangedInTurn(e.id) {
			waiting++
			own[e.row.Client]++
		}
	}
	for _, ch := range c.turn.changes {
		if ch.before != nil || ch.after == nil {
			continue
		}
		if waiting >= c.cfg.MaxPending || c.cfg.ClientPending > 0 && own[ch.after.Client] >= c.cfg.ClientPending {
			c.violate("limits", "%s is taken in: %d tasks wait, %d of %s", ch.task.id, waiting, own[ch.after.Client], ch.after.Client)
		}
	}
}

// isWithinLimits reports whether a refused submit was within every limit.
func (c *Oracle) isWithinLimits(client string) bool {
	waiting, own, asked := 0, 0, 0
	for _, e := range c.taskOrder {
		if e.row == nil || e.row.Status != model.StatusPending && e.row.Status != model.StatusPaused && !c.isChangedInTurn(e.id) {
			continue
		}
		waiting++
		if e.row.Client == client {
			own++
		}
	}
	for _, m := range c.turn.messages {
		asked += len(m.Ops)
	}
	return int64(waiting+asked) < c.cfg.MaxPending && (c.cfg.ClientPending == 0 || int64(own+asked) < c.cfg.ClientPending)
}
