package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkRefusal requires that a refusal is one that the contract knows.
func (c *Oracle) checkRefusal(op engine.Event, a *engine.Answer) {
	if _, ok := op.(engine.Heartbeat); ok && a.Err.Code == model.CodeUnavailable {
		c.disturbedAt = c.world.Now()
	}
	switch a.Err.Code {
	case model.CodeNotFound, model.CodeConflict, model.CodeTooMany, model.CodeUnavailable:
	case model.CodeInternal:
		if !panicsEngine(op) {
			c.violate("refusals", "%T is answered 500, and it is another event that panics", op)
		}
	default:
		c.violate("refusals", "%T is answered %d: %s", op, a.Err.Code, a.Err.Message)
	}
}

// panicsEngine reports whether an event is one of those of poison.
func panicsEngine(op engine.Event) bool {
	switch op := op.(type) {
	case engine.Import:
		return true
	case engine.QueryWorkers:
		return op.ID == "" && op.Limit == 0
	}
	return false
}

// checkPanic requires that an event on which the engine panics is refused.
func (c *Oracle) checkPanic(a *engine.Answer) {
	if a.Err == nil {
		c.violate("refusals", "an event that panics is answered without an error")
	}
}

// checkForeign requires that the task of another client is answered as an unknown one.
func (c *Oracle) checkForeign(op engine.Event, e *taskHistory, foreign bool, a *engine.Answer) {
	if foreign && a.Err.Code != model.CodeNotFound && a.Err.Code != model.CodeUnavailable {
		c.violate("refusals", "%T of another client's %s is answered %d", op, e.id, a.Err.Code)
	}
}

// checkConflict requires that a request which the task's status allows is not refused.
func (c *Oracle) checkConflict(op engine.Event, e *taskHistory, verb int, a *engine.Answer) {
	if a.Err.Code == model.CodeConflict && !c.isChangedInTurn(e.id) && e.row != nil && isAllowed(e.row.Status, verb) && !deletesFiles(op) {
		c.violate("refusals", "%T of %s is refused; it is %s: %s", op, e.id, e.row.Status, a.Err.Message)
	}
}

// checkDuplicate requires that a submit is a conflict only if the id is or was in use.
func (c *Oracle) checkDuplicate(e *taskHistory, a *engine.Answer) {
	if e.row == nil && !e.deleted && !c.isChangedInTurn(e.id) {
		c.violate("refusals", "%s does not exist, and its submit is refused: %s", e.id, a.Err.Message)
	}
}

// checkTooMany requires that a limit in an error response is reached.
func (c *Oracle) checkTooMany(e *taskHistory, client string, a *engine.Answer) {
	if c.cfg.RequirementSets >= 1000 && c.isWithinLimits(client) {
		c.violate("refusals", "%s is refused: %s", e.id, a.Err.Message)
	}
}

// checkRemoval requires that a living worker is removed with force only.
func (c *Oracle) checkRemoval(op engine.RemoveWorker) {
	if k := c.worker(op.ID); !op.Force && k.isLive && !k.leaving && !c.isSilent(op.ID) {
		c.violate("refusals", "%s is removed without force; it was heard %d ms ago", op.ID, c.world.Now()-k.heardAt)
	}
}
