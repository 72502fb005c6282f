package oracle

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkFence requires that a new attempt is above everything that anybody has named,
// and is given to one worker.
func (c *Oracle) checkFence(e *taskHistory, b, a *model.Task) {
	highest := max(b.Attempt, e.maxSeenAttempt)
	for _, g := range e.assignments {
		highest = max(highest, g.attempt)
	}
	if a.Attempt <= highest {
		c.violate("fence", "%s is assigned to %s as attempt %d, and %d was given out or named before", e.id, a.WorkerID, a.Attempt, highest)
	}
	if slices.Contains(e.formerAttempts, a.Attempt) {
		c.violate("fence", "%s is assigned to %s as attempt %d, as was a deleted task of the id", e.id, a.WorkerID, a.Attempt)
	}
	if (a.Status != model.StatusQueued || a.WorkerID == "") && !c.isRequestedInTurn(e.id, verbUpdate) {
		c.violate("fence", "%s has the new attempt %d and is %s, held by %q", e.id, a.Attempt, a.Status, a.WorkerID)
	}
	e.assignments = append(e.assignments, assignment{a.Attempt, cmp.Or(a.WorkerID, a.LastWorkerID), a.URL, a.WorkerID != ""})
}

// rememberedFor is how long a worker remembers an attempt that it has finished or dropped.
const rememberedFor = model.Time(600_000)

// noteFormerAttempts notes the attempts of a deleted task, which the next one of its id must not
// have. It goes by the wall clock, as checkIDReuse does.
func (c *Oracle) noteFormerAttempts(e *taskHistory) {
	if e.deletedAt == 0 || c.clockChangedAt > e.deletedAt || c.world.Now()-e.deletedAt >= rememberedFor {
		e.formerAttempts = nil
		return
	}
	for _, g := range e.assignments {
		e.formerAttempts = append(e.formerAttempts, g.attempt)
	}
}

// checkReported requires that the holder of the attempt reported the status.
func (c *Oracle) checkReported(e *taskHistory, b, a *model.Task, r reportSet) {
	if a.Attempt != b.Attempt || !e.holderReported(a.Attempt, r) {
		c.violate("fence", "%s#%d is %s without a report of its holder %q", e.id, a.Attempt, a.Status, e.assignee(a.Attempt))
	}
}
