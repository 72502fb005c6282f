package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkHistory requires that the history of a task has each attempt that was assigned
// and has ended, on its worker and with an outcome that has a cause, and that it keeps
// them.
func (c *Oracle) checkHistory(e *taskHistory, b, a *model.Task) {
	past := a.Attempts()
	if len(past) > model.MaxHistory {
		c.violate("history-agrees", "%s has %d attempts in its history", e.id, len(past))
	}
	before := b.Attempts()
	for i := range past {
		if i > 0 && past[i].Attempt <= past[i-1].Attempt {
			c.violate("history-agrees", "%s: attempt %d comes after %d", e.id, past[i].Attempt, past[i-1].Attempt)
		}
		if !slices.ContainsFunc(before, func(p model.PastAttempt) bool { return p.Attempt == past[i].Attempt && p.Outcome == past[i].Outcome }) {
			c.checkAttemptEnd(e, b, a, &past[i])
		}
	}
	c.checkHistoryWhole(e, a, past)
}

// checkHistoryWhole requires the last attempts that were assigned and have ended. A task
// may have had an attempt more for a part of a turn, if it was updated in it. A worker may
// have been told of such an attempt, and may end it later.
func (c *Oracle) checkHistoryWhole(e *taskHistory, a *model.Task, past []model.PastAttempt) {
	var want []assignment
	for _, g := range e.assignments {
		if g.assigned && !(a.Status.Active() && g.attempt == a.Attempt) {
			want = append(want, g)
		}
	}
	n := 0 // of the last of want that were found
	for i := len(past) - 1; i >= 0; i-- {
		p := &past[i]
		known := slices.ContainsFunc(e.assignments, func(g assignment) bool { return g.assigned && g.attempt == p.Attempt })
		if !known && p.AssignedAt == p.EndedAt {
			e.briefAttempts = append(e.briefAttempts, p.Attempt)
		}
		switch {
		case !known && (e.imported || slices.Contains(e.briefAttempts, p.Attempt)):
		case n == len(want) || want[len(want)-1-n].attempt != p.Attempt || want[len(want)-1-n].worker != p.WorkerID:
			c.violate("history-agrees", "%s#%d on %s is in its history, and was not assigned: %+v", e.id, p.Attempt, p.WorkerID, want)
			return
		default:
			n++
		}
	}
	if n < len(want) && len(past) < model.MaxHistory {
		c.violate("history-agrees", "%s#%d on %s has ended and is not in its history", e.id, want[len(want)-1-n].attempt, want[len(want)-1-n].worker)
	}
}

// checkAttemptEnd requires that the outcome of an attempt, which has just ended, was
// reported by its worker, asked for by a client, or due.
func (c *Oracle) checkAttemptEnd(e *taskHistory, b, a *model.Task, p *model.PastAttempt) {
	caused := false
	switch p.Outcome {
	case model.OutcomeCompleted:
		caused = a.Status == model.StatusCompleted
	case model.OutcomeRetryable:
		caused = e.holderReported(p.Attempt, reportedRetryable)
	case model.OutcomePermanent:
		caused = e.holderReported(p.Attempt, reportedPermanent)
	case model.OutcomeWorker:
		caused = e.holderReported(p.Attempt, reportedWorkerError)
	case model.OutcomeRejected:
		caused = e.holderReported(p.Attempt, reportedRejected)
	case model.OutcomeTimeout:
		caused = b.Timeout > 0
	case model.OutcomeCanceled:
		caused = e.requests[verbCancel] > 0
	case model.OutcomePaused:
		caused = e.requests[verbPause] > 0
	case model.OutcomeSuperseded:
		caused = e.requests[verbUpdate] > 0 || c.wasTakenBack(e, p.WorkerID, p.Attempt) || p.Attempt == b.Attempt && c.mayBeOmitted(e, b)
	case model.OutcomeLost:
		k := c.worker(p.WorkerID)
		caused = a.Losses > b.Losses || k.leavingAt > 0 || k.removals > 0 || c.world.Now()-max(e.listedAt, e.assignedAt) >= c.listingGrace()
	}
	if !caused {
		c.violate("history-agrees", "%s#%d on %s is %s in its history, and nothing led to that", e.id, p.Attempt, p.WorkerID, p.Outcome)
	}
	failed := p.Outcome == model.OutcomeRetryable || p.Outcome == model.OutcomePermanent || p.Outcome == model.OutcomeWorker ||
		p.Outcome == model.OutcomeTimeout || p.Outcome == model.OutcomeRejected
	switch {
	case failed != (p.Error != nil):
		c.violate("history-agrees", "%s#%d is %s in its history with the error %+v", e.id, p.Attempt, p.Outcome, p.Error)
	case p.EndedAt != c.world.Wall():
		c.violate("history-agrees", "%s#%d ended at %d in its history, and it is %d", e.id, p.Attempt, p.EndedAt, c.world.Wall())
	case p.Attempt == b.Attempt && p.AssignedAt != b.AssignedAt:
		c.violate("history-agrees", "%s#%d was assigned at %d, and at %d in its history", e.id, p.Attempt, b.AssignedAt, p.AssignedAt)
	}
}
