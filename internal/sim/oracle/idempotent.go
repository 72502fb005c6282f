package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
)

// checkIdempotent requires that a repeated submit is accepted.
func (c *Oracle) checkIdempotent(op engine.Submit, e *taskHistory, a *engine.Answer) {
	if e.row != nil && e.row.Client == op.Client && e.row.SpecHash == op.Hash {
		c.violate("idempotent", "%s is submitted again unchanged, and refused: %s", e.id, a.Err.Message)
	}
}
