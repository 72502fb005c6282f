package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkSubmit checks the answer to a submit.
func (c *Oracle) checkSubmit(op engine.Submit, a *engine.Answer) {
	e := c.task(op.Spec.ID)
	switch {
	case a.Err == nil && c.isRequestedInTurn(e.id, verbDelete): // deleted and submitted in one turn
		return
	case a.Err == nil:
		c.checkAccepted(op, e, a)
		e.acknowledged = true
	case a.Err.Code == model.CodeConflict:
		c.checkIdempotent(op, e, a)
		c.checkDuplicate(e, a)
	case a.Err.Code == model.CodeTooMany:
		c.checkTooMany(e, op.Client, a)
	default:
		return
	}
	c.countEvent(op, a)
}
