package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkChange checks what a commit did to one task: each step needs a request, a
// report, or enough time.
func (c *Oracle) checkChange(ch *change) {
	b, a, e := ch.before, ch.after, ch.task
	if a == nil {
		c.checkDeleted(ch)
		return
	}
	if b == nil {
		b = c.checkCreated(e, a)
	}
	c.checkImmutable(e, b, a)
	c.checkTimes(e, a)
	c.checkLinkReplaced(e, b, a)
	if b.Status == model.StatusCompleted {
		c.checkCompletedStays(e, b, a)
		return
	}
	again := c.isRequestedInTurn(e.id, verbRetry) && (a.Failures < b.Failures || a.Losses < b.Losses) // it ended in this turn
	if b.Status.Terminal() && a.Status != b.Status || again {
		b = c.checkRetried(e, b, a)
	}
	ended := e.requests[verbCancel] > 0 && c.isRequestedInTurn(e.id, verbRetry) // canceled and retried in one turn
	if b.Status == model.StatusPaused && !a.Status.Terminal() && a.Status != model.StatusPaused && !ended {
		c.checkRequested(e, verbResume, "%s was paused and is %s", e.id, a.Status)
	}
	if a.Attempt != b.Attempt {
		c.checkFence(e, b, a)
	}
	c.checkHolder(e, a)
	c.checkCounters(e, b, a)
	c.checkStatus(e, b, a)
	if b.Status.Active() && (a.Attempt != b.Attempt || a.Status == model.StatusPending) {
		c.checkReleased(e, b, a)
	}
	c.checkHistory(e, b, a)
}

// checkStatus checks why a task came to its status.
func (c *Oracle) checkStatus(e *taskHistory, b, a *model.Task) {
	switch {
	case a.Status == b.Status && (a.Attempt == b.Attempt || a.Status == model.StatusPaused || a.Status.Terminal()): // an update fences the old link, see checkFence
	case a.Status == model.StatusCompleted:
		c.checkReported(e, b, a, reportedCompleted)
		c.checkResult(e, a)
	case a.Status == model.StatusFailed:
		c.checkFailed(e, b, a)
	case a.Status == model.StatusCanceled:
		c.checkRequested(e, verbCancel, "%s was %s and is canceled", e.id, b.Status)
	case a.Status == model.StatusPaused:
		c.checkRequested(e, verbPause, "%s was %s and is paused", e.id, b.Status)
	case a.Status == model.StatusDownloading:
		c.checkReclaimed(e, b, a)
		c.checkReported(e, b, a, reportedDownloading)
	}
}

// checkCounters checks the counts of failures and losses.
func (c *Oracle) checkCounters(e *taskHistory, b, a *model.Task) {
	failures, losses := a.Failures-b.Failures, a.Losses-b.Losses
	if !c.checkIncrements(e, b, a) {
		return
	}
	if failures == 1 {
		c.checkFailure(e, b, a)
	} else {
		c.checkError(e, b, a)
	}
	if losses == 1 {
		c.checkLossLimit(e, a)
		c.checkLost(e, b)
	}
}

// checkFailure checks a failure that was counted.
func (c *Oracle) checkFailure(e *taskHistory, b, a *model.Task) {
	if !c.checkBlame(e, b) || a.Status.Terminal() || a.Error == nil || a.Status == model.StatusPaused {
		return
	}
	c.checkFailureLimit(e, a)
	if a.Error.Class == model.ClassRetryable && a.Error.RetryAfter == 0 { // else see checkAskedWait
		c.checkBackoff(e, b, a)
	}
}

func (c *Oracle) checkRetried(e *taskHistory, b, a *model.Task) *model.Task {
	c.checkRequested(e, verbRetry, "%s was %s and is %s", e.id, b.Status, a.Status)
	retried := *b
	retried.Status, retried.Failures, retried.Losses = model.StatusPending, 0, 0
	return &retried
}
