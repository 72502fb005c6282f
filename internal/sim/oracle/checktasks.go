package oracle

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkChange asks of what a commit did to one task why it might: every step needs
// somebody's word, or enough time.
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
		if a.Status != b.Status || a.Attempt != b.Attempt || a.WorkerID != "" {
			c.violate("completed-stays", "%s was completed and is %s, attempt %d", e.id, a.Status, a.Attempt)
		}
		return
	}
	again := c.isRequestedInTurn(e.id, verbRetry) && (a.Failures < b.Failures || a.Losses < b.Losses) // it ended in this very turn
	if b.Status.Terminal() && a.Status != b.Status || again {
		b = c.checkRetried(e, b, a)
	}
	ended := e.requests[verbCancel] > 0 && c.isRequestedInTurn(e.id, verbRetry) // canceled and retried in one turn
	if b.Status == model.StatusPaused && !a.Status.Terminal() && a.Status != model.StatusPaused && !ended {
		c.checkRequested(e, verbResume, "%s was paused and is %s", e.id, a.Status)
	}
	moved := a.Attempt != b.Attempt
	if moved {
		c.checkFence(e, b, a)
	}
	c.checkHolder(e, a)
	c.checkBlame(e, b, a)
	switch {
	case a.Status == b.Status && (!moved || a.Status == model.StatusPaused || a.Status.Terminal()): // an update fences off the old link, see checkFence
	case a.Status == model.StatusCompleted:
		c.checkCompleted(e, b, a)
	case a.Status == model.StatusFailed:
		c.checkFailed(e, b, a)
	case a.Status == model.StatusCanceled:
		c.checkRequested(e, verbCancel, "%s was %s and is canceled", e.id, b.Status)
	case a.Status == model.StatusPaused:
		c.checkRequested(e, verbPause, "%s was %s and is paused", e.id, b.Status)
	case a.Status == model.StatusDownloading:
		c.checkDownloading(e, b, a)
	}
	if b.Status.Active() && (moved || a.Status == model.StatusPending) {
		c.checkReleased(e, b, a)
	}
}

// checkRequested asks whether somebody has asked for what was done, once for each time.
func (c *Oracle) checkRequested(e *taskHistory, verb int, format string, args ...any) {
	if e.effects[verb]++; e.effects[verb] > e.requests[verb] {
		c.violate("done-if-asked", format+", and nobody asked for it", args...)
	}
}

// checkCreated asks who has submitted a new task. It returns the row as it was before
// the rest of the turn.
func (c *Oracle) checkCreated(e *taskHistory, a *model.Task) *model.Task {
	if !slices.Contains(e.submissions, submission{a.Client, a.SpecHash}) {
		c.violate("done-if-asked", "%s of %s is stored, and nobody submitted that", e.id, a.Client)
	}
	if e.deleted { // another task of the same name
		c.checkIDReuse(e)
		e.deleted, e.assignments, e.failedAttempts, e.maxSeenAttempt, e.avoided = false, nil, nil, 0, nil
	}
	born := *a
	born.TaskState = model.TaskState{Status: model.StatusPending}
	return &born
}

// checkDeleted asks who has wished a task away.
func (c *Oracle) checkDeleted(ch *change) {
	e := ch.task
	if !ch.before.Status.Terminal() && !(c.mayHaveEnded(e, ch.before) && e.requests[verbDelete] > 0) {
		c.violate("nothing-lost", "%s is deleted; it was %s", ch.task.id, ch.before.Status)
		return
	}
	if ch.task.requests[verbDelete] > 0 {
		return
	}
	if c.isExpired(ch.before) {
		c.world.CountEvent("expire")
		return
	}
	c.violate("nothing-lost", "%s is deleted, and nobody asked for it", ch.task.id)
}

// mayHaveEnded reports whether a task can have ended in the turn that deleted it.
// Its row is gone, so it is only asked for what would lead to that. A worker can be
// lost, heard and lost again in one turn after a stall.
func (c *Oracle) mayHaveEnded(e *taskHistory, b *model.Task) bool {
	lost := b.Status.Active() && b.Losses+2 >= c.cfg.MaxLosses
	late := b.Status.Active() && b.Timeout > 0 && b.Failures+1 >= b.MaxAttempts
	return e.holderReported(b.Attempt, reportedCompleted|reportedFailed) || e.requests[verbCancel] > 0 || lost || late
}

// checkImmutable asks that what a client has said stays.
func (c *Oracle) checkImmutable(e *taskHistory, b, a *model.Task) {
	if a.ID != b.ID || a.Client != b.Client || a.SpecHash != b.SpecHash || a.Seq != b.Seq || a.CreatedAt != b.CreatedAt {
		c.violate("rows-stay-true", "%s: its id, client, hash, seq or time of birth has changed", e.id)
	}
	if a.URL != b.URL && e.requests[verbUpdate] == 0 {
		c.violate("rows-stay-true", "%s: its url has changed", e.id)
	}
}

func (c *Oracle) checkRetried(e *taskHistory, b, a *model.Task) *model.Task {
	c.checkRequested(e, verbRetry, "%s was %s and is %s", e.id, b.Status, a.Status)
	anew := *b
	anew.Status, anew.Failures, anew.Losses = model.StatusPending, 0, 0
	return &anew
}

// checkFence asks that a new attempt is above everything that anybody has named,
// and is given to one worker.
func (c *Oracle) checkFence(e *taskHistory, b, a *model.Task) {
	highest := max(b.Attempt, e.maxSeenAttempt)
	for _, g := range e.assignments {
		highest = max(highest, g.attempt)
	}
	if a.Attempt <= highest {
		c.violate("fence", "%s is given to %s as attempt %d, and %d was given out or named before", e.id, a.WorkerID, a.Attempt, highest)
	}
	if (a.Status != model.StatusQueued || a.WorkerID == "") && !c.isRequestedInTurn(e.id, verbUpdate) {
		c.violate("fence", "%s has the new attempt %d and is %s, held by %q", e.id, a.Attempt, a.Status, a.WorkerID)
	}
	e.assignments = append(e.assignments, assignment{a.Attempt, cmp.Or(a.WorkerID, a.LastWorkerID), a.URL})
}

// checkHolder asks that who holds a task is who was given its attempt.
func (c *Oracle) checkHolder(e *taskHistory, a *model.Task) {
	if (a.WorkerID != "") != a.Status.Active() {
		c.violate("one-holder", "%s is %s, held by %q", e.id, a.Status, a.WorkerID)
	}
	if a.WorkerID != "" && e.assignee(a.Attempt) != a.WorkerID {
		c.violate("one-holder", "%s#%d is held by %s, and was given to %q", e.id, a.Attempt, a.WorkerID, e.assignee(a.Attempt))
	}
}

// holderReported reports whether the one who was given the attempt has said any of the words.
func (e *taskHistory) holderReported(attempt int64, w reportSet) bool {
	holder := e.assignee(attempt)
	return holder != "" && e.reported(holder, attempt)&w != 0
}

// checkCompleted asks for the holder's word.
func (c *Oracle) checkCompleted(e *taskHistory, b, a *model.Task) {
	switch {
	case a.Attempt != b.Attempt || !e.holderReported(a.Attempt, reportedCompleted):
		c.violate("fence", "%s#%d is completed, and %q has not said so", e.id, a.Attempt, e.assignee(a.Attempt))
	case a.Result == nil || a.Result.WorkerID != e.assignee(a.Attempt):
		c.violate("rows-stay-true", "%s#%d is completed with the result %+v", e.id, a.Attempt, a.Result)
	}
}

// checkFailed asks that a task is given up only for a reason.
func (c *Oracle) checkFailed(e *taskHistory, b, a *model.Task) {
	permanent := a.Failures > b.Failures && e.holderReported(a.Attempt, reportedPermanent)
	used := a.Failures > b.Failures && a.Failures >= a.MaxAttempts
	lost := a.Losses > b.Losses && a.Losses >= c.cfg.MaxLosses
	if !permanent && !used && !lost {
		c.violate("failed-for-a-reason", "%s is failed after %d of %d failures and %d losses: %+v", e.id, a.Failures, a.MaxAttempts, a.Losses, a.Error)
	}
}

func (c *Oracle) checkDownloading(e *taskHistory, b, a *model.Task) {
	for _, g := range e.assignments {
		if b.Status == model.StatusPending && g.attempt == a.Attempt && g.url != a.URL {
			c.violate("fresh-link-fresh-attempt", "%s#%d is taken back by %s, which downloads %s; its client has asked for %s since", e.id, a.Attempt, a.WorkerID, g.url, a.URL)
		}
	}
	if a.Attempt != b.Attempt || !e.holderReported(a.Attempt, reportedDownloading) {
		c.violate("fence", "%s#%d is downloading, and its holder has not said so", e.id, a.Attempt)
	}
}

// checkBlame asks that failures and losses are counted once each, for those who
// failed and those who were silent.
func (c *Oracle) checkBlame(e *taskHistory, b, a *model.Task) {
	failures, losses := a.Failures-b.Failures, a.Losses-b.Losses
	if failures < 0 || failures > 1 || losses < 0 || losses > 1 {
		c.violate("blame", "%s: failures %d to %d, losses %d to %d in one turn", e.id, b.Failures, a.Failures, b.Losses, a.Losses)
		return
	}
	if failures == 1 {
		c.checkFailure(e, b, a)
	} else if b.Status.Active() && a.Status == model.StatusPending && a.Error != nil && a.Error != b.Error && e.reported(b.WorkerID, b.Attempt)&(reportedFailed|reportedRejected) == 0 {
		c.violate("blame", "%s: its error %q is nobody's word", e.id, a.Error.Message)
	}
	if losses == 1 && a.Losses >= c.cfg.MaxLosses && !a.Status.Terminal() && a.Status != model.StatusPaused {
		c.violate("failed-for-a-reason", "%s is %s after %d losses of %d", e.id, a.Status, a.Losses, c.cfg.MaxLosses)
	}
	if losses == 1 && !c.isSilent(e.assignee(b.Attempt)) {
		k := c.worker(e.assignee(b.Attempt))
		c.violate("nobody-lost-too-early", "%s counts the loss of %s, heard %d ms ago; fresh %d ms ago",
			e.id, k.name, c.world.Now()-k.heardAt, c.world.Now()-c.timeoutsResetAt)
	}
}

func (c *Oracle) checkFailure(e *taskHistory, b, a *model.Task) {
	said := e.holderReported(b.Attempt, reportedFailed)
	late := b.Timeout > 0 && (c.world.Now()-e.assignedAt >= millis(b.Timeout) || c.world.Now()-c.loadedAt >= c.heartbeatTimeout())
	if !said && !late {
		c.violate("blame", "%s#%d counts as a failure, and its holder %q did not fail", e.id, b.Attempt, e.assignee(b.Attempt))
		return
	}
	if slices.Contains(e.failedAttempts, b.Attempt) {
		c.violate("blame", "%s#%d counts as a failure a second time", e.id, b.Attempt)
	}
	e.failedAttempts = append(e.failedAttempts, b.Attempt)
	if a.Status.Terminal() || a.Error == nil || a.Status == model.StatusPaused {
		return
	}
	if a.Error.Class == model.ClassPermanent || a.Failures >= a.MaxAttempts {
		c.violate("failed-for-a-reason", "%s is %s after %d of %d failures, the last one %s", e.id, a.Status, a.Failures, a.MaxAttempts, a.Error.Class)
	}
	if a.Error.Class == model.ClassRetryable {
		c.checkBackoff(e, b, a)
	}
}

// checkBackoff asks for the wait that the number of failures demands, of which at
// least half must pass.
func (c *Oracle) checkBackoff(e *taskHistory, b, a *model.Task) {
	wait := c.cfg.RetryBase
	for i := 1; i < a.Failures && wait < c.cfg.RetryDelay; i++ {
		wait *= 2
	}
	if c.isRequestedInTurn(e.id, verbUpdate) || c.isRequestedInTurn(e.id, verbPause) {
		return // another link has not failed yet, and a pause ends the wait
	}
	most := millis(min(wait, c.cfg.RetryDelay))
	if a.Attempt != b.Attempt || a.Status != model.StatusPending {
		c.violate("backoff", "%s failed for the %d. time and is %s at once", e.id, a.Failures, a.Status)
		return
	}
	if left := a.RetryAt - c.world.Wall(); left < most/2-1 || left > most {
		c.violate("backoff", "%s failed for the %d. time and waits %d ms, not %d to %d", e.id, a.Failures, left, most/2, most)
	}
}

// isSilent reports whether a worker may be taken for lost: it was not heard for the
// timeout, in which it could have been. That time ends at the last connected turn,
// even if the loss is noticed in a later one.
func (c *Oracle) isSilent(worker string) bool {
	k := c.workers[worker]
	return k != nil && (k.overdue || c.connectedAt-max(k.heardAt, c.timeoutsResetAt) >= c.heartbeatTimeout())
}

// checkReleased asks why a task was taken from its holder.
func (c *Oracle) checkReleased(e *taskHistory, b, a *model.Task) {
	k := c.worker(b.WorkerID)
	unlisted := c.world.Now()-max(e.listedAt, e.assignedAt) >= 2*c.listingGrace()
	switch {
	case a.Failures > b.Failures, a.Losses > b.Losses: // asked for by checkBlame
	case e.reported(b.WorkerID, b.Attempt)&(reportedRejected|reportedFailed) != 0:
	case k.leavingAt > 0 && k.leavingAt >= k.heardAt: // it said that it leaves
	case unlisted, k.removals > 0, e.requests[verbUpdate] > 0:
	case e.requests[verbPause] > 0 && e.requests[verbResume] > 0, e.requests[verbCancel] > 0 && e.requests[verbRetry] > 0: // both in one turn
	default:
		c.violate("nothing-taken-without-reason", "%s#%d is taken from %s, which lists it, has not failed and was not silent",
			e.id, b.Attempt, b.WorkerID)
	}
}

// isExpired reports whether the time of a task that has ended is over.
func (c *Oracle) isExpired(t *model.Task) bool {
	keep := map[model.Status]model.Duration{
		model.StatusCompleted: c.retention.Completed, model.StatusFailed: c.retention.Failed,
		model.StatusCanceled: c.retention.Canceled,
	}[t.Status]
	return keep > 0 && c.world.Wall()-t.FinishedAt >= millis(keep)
}
