package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkImported requires that the turn which imports a task does not assign it.
func (c *Oracle) checkImported(e *taskHistory, a *model.Task) {
	if a.Attempt != 0 || a.WorkerID != "" {
		c.violate("held-until-verified", "%s is assigned to %s in the turn that imports it", e.id, a.WorkerID)
	}
}

// checkHeldTask requires that a held task is not assigned.
func (c *Oracle) checkHeldTask(ch *change) {
	e, a := ch.task, ch.after
	_, released := c.turn.releases[e.id]
	switch {
	case e.hold == holdNone:
	case a == nil || a.Status.Terminal():
		e.hold = holdNone
	case c.isRequestedInTurn(e.id, verbCancel):
		e.hold = holdUnsure
	case e.hold == holdUntil && !released && a.WorkerID != "" && a.Attempt > previousAttempt(ch): // not an assignment of a finish whose commit was written and failed
		c.violate("held-until-verified", "%s is assigned to %s, and its import is not finished", e.id, a.WorkerID)
	}
}

// checkHeldReason requires that the reason of a waiting task states whether it is held
// back.
func (c *Oracle) checkHeldReason(e *taskHistory, reason string) {
	if e.row.Status != model.StatusPending || e.hold == holdUnsure {
		return
	}
	if says := reason == reasonHeld; says != (e.hold == holdUntil) {
		c.violate("held-until-verified", "%s %s; held back by its import: %v", e.id, reason, !says)
	}
}
