package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkFailed requires that a task is given up only for a reason.
func (c *Oracle) checkFailed(e *taskHistory, b, a *model.Task) {
	attempt := a.Attempt
	if c.isRequestedInTurn(e.id, verbUpdate) {
		attempt = b.Attempt // an update after the failure, in the same turn, has raised it
	}
	permanent := a.Failures > b.Failures && e.holderReported(attempt, reportedPermanent)
	used := a.Failures > b.Failures && a.Failures >= a.MaxAttempts
	lost := a.Losses > b.Losses && a.Losses >= c.cfg.MaxLosses
	if !permanent && !used && !lost {
		c.violate("failed-for-a-reason", "%s is failed after %d of %d failures and %d losses: %+v", e.id, a.Failures, a.MaxAttempts, a.Losses, a.Error)
	}
}

// checkFailureLimit requires that a task fails at a permanent error or at max_attempts.
func (c *Oracle) checkFailureLimit(e *taskHistory, a *model.Task) {
	if a.Error.Class == model.ClassPermanent || a.Failures >= a.MaxAttempts {
		c.violate("failed-for-a-reason", "%s is %s after %d of %d failures, the last one %s", e.id, a.Status, a.Failures, a.MaxAttempts, a.Error.Class)
	}
}

// checkLossLimit requires that a task fails at max_losses.
func (c *Oracle) checkLossLimit(e *taskHistory, a *model.Task) {
	if a.Losses >= c.cfg.MaxLosses && !a.Status.Terminal() && a.Status != model.StatusPaused {
		c.violate("failed-for-a-reason", "%s is %s after %d losses of %d", e.id, a.Status, a.Losses, c.cfg.MaxLosses)
	}
}
