package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkDrop asks that nobody is told to drop what it should hold, and that bytes
// are wiped only where somebody wished it.
func (c *Oracle) checkDrop(worker string, d model.Drop) {
	e := c.task(d.ID)
	row := e.row
	if row == nil || c.isCreatedInTurn(e) {
		switch {
		case d.Reason == model.DropDeleted && e.requests[verbDelete] > 0, d.Reason == model.DropCanceled && e.requests[verbCancel] > 0:
		case c.isChangedInTurn(d.ID): // it was deleted after that was said
		case d.Reason != model.DropUnknown:
			c.violate("drops", "%s is told to drop %s#%d, %s; there is no such task", worker, d.ID, d.Attempt, d.Reason)
		case c.world.Now()-c.loadedAt < c.heartbeatTimeout():
			c.violate("unknown-is-not-said-early", "%s is told that %s is unknown, %d ms after a start", worker, d.ID, c.world.Now()-c.loadedAt)
		}
		return
	}
	switch {
	case d.Reason == model.DropUnknown:
		c.violate("drops", "%s is told that %s is unknown; it is %s", worker, d.ID, row.Status)
	case row.Status.Active() && row.WorkerID == worker && row.Attempt == d.Attempt && !c.isChangedInTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it holds", worker, d.ID, d.Attempt, d.Reason)
	case row.Status == model.StatusCompleted && row.LastWorkerID == worker && row.Attempt == d.Attempt && !c.isChangedInTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it has completed", worker, d.ID, d.Attempt, d.Reason)
	case c.canReclaim(e, worker, d):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it may take back", worker, d.ID, d.Attempt, d.Reason)
	case d.Reason.RemovesBytes() && e.requests[verbCancel]+e.requests[verbDelete] == 0:
		c.violate("wiped-if-wished", "%s is told to wipe %s#%d, %s; it is %s", worker, d.ID, d.Attempt, d.Reason, row.Status)
	}
}

// isChangedInTurn reports whether the turn has changed the task: then what was said in it
// may have been overtaken by what came after.
func (c *Oracle) isChangedInTurn(id string) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.task.id == id })
}

// checkForget asks that a worker is told to forget only what the store knows.
func (c *Oracle) checkForget(worker string, ref model.TaskRef) {
	e := c.task(ref.ID)
	if c.isChangedInTurn(ref.ID) {
		return
	}
	if row := e.row; row == nil || row.Status.Active() && row.WorkerID == worker && row.Attempt == ref.Attempt {
		c.violate("answers-are-true", "%s may forget %s#%d; the store has %s", worker, ref.ID, ref.Attempt, describeTask(row))
		return
	}
	row := e.row
	if row.Attempt == ref.Attempt && e.assignee(ref.Attempt) == worker && e.reported(worker, ref.Attempt) == reportedCompleted|reportedDownloading &&
		row.Status != model.StatusCompleted && !row.Status.Terminal() {
		c.violate("answers-are-true", "%s has completed %s#%d and may forget it; the store has %s", worker, ref.ID, ref.Attempt, describeTask(row))
	}
}

// checkAssignment asks that an attempt goes to the one it was given to.
func (c *Oracle) checkAssignment(worker string, as *model.Assignment) {
	e := c.task(as.Task.ID)
	if c.isRequestedInTurn(e.id, verbUpdate) {
		return // it may have got two new attempts, of which the store has the last
	}
	if e.assignee(as.Attempt) != worker {
		c.violate("answers-are-true", "%s is given %s#%d, which the store gave to %q", worker, e.id, as.Attempt, e.assignee(as.Attempt))
	}
	if row := e.row; row != nil && (as.Task.URL != row.URL || as.Task.Client != row.Client) {
		c.violate("answers-are-true", "%s is given %s with another url or client than it has", worker, e.id)
	}
}
