package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkRequested requires a request for each effect of a verb.
func (c *Oracle) checkRequested(e *taskHistory, verb int, format string, args ...any) {
	if e.effects[verb]++; e.effects[verb] > e.requests[verb] {
		c.violate("done-if-asked", format+" without a request", args...)
	}
}

// checkCreated checks that its client submitted a new task. It returns the row before
// the rest of the turn.
func (c *Oracle) checkCreated(e *taskHistory, a *model.Task) *model.Task {
	if !slices.Contains(e.submissions, submission{a.Client, a.SpecHash}) {
		c.violate("done-if-asked", "%s of %s is stored without a submit", e.id, a.Client)
	}
	born := *a
	born.TaskState = model.TaskState{Status: model.StatusPending}
	if e.deleted { // another task of the same name
		c.checkIDReuse(e)
		c.noteFormerAttempts(e)
		if born.Attempt = a.Attempt; a.WorkerID != "" {
			born.Attempt--
		}
		e.deleted, e.assignments, e.briefAttempts, e.failedAttempts, e.maxSeenAttempt, e.avoided = false, nil, nil, nil, 0, nil
	}
	return &born
}

// checkUndrained requires that a drain lasts until it is resumed.
func (c *Oracle) checkUndrained(wc *model.WorkerChange) {
	old, k := c.workerRows[wc.ID], c.worker(wc.ID)
	if old == nil || !old.Drained || wc.Put == nil || wc.Put.Drained {
		return
	}
	if k.undrains++; k.undrains > k.resumes {
		c.violate("done-if-asked", "the drain of %s ended without a request", k.name)
	}
}
