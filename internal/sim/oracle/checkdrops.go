package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkDrop asks that nobody is told to drop what it should hold, and that bytes
// are wiped only where somebody wished it.
func (c *Oracle) checkDrop(worker string, d model.Drop) {
	e := c.entry(d.ID)
	row := e.row
	if row == nil || c.bornInTurn(e) {
		switch {
		case d.Reason == model.DropDeleted && e.asked[asDelete] > 0, d.Reason == model.DropCanceled && e.asked[asCancel] > 0:
		case c.inTurn(d.ID): // it was deleted after that was said
		case d.Reason != model.DropUnknown:
			c.violate("drops", "%s is told to drop %s#%d, %s; there is no such task", worker, d.ID, d.Attempt, d.Reason)
		case c.w.Now()-c.loadedAt < c.timeout():
			c.violate("unknown-is-not-said-early", "%s is told that %s is unknown, %d ms after a start", worker, d.ID, c.w.Now()-c.loadedAt)
		}
		return
	}
	switch {
	case d.Reason == model.DropUnknown:
		c.violate("drops", "%s is told that %s is unknown; it is %s", worker, d.ID, row.Status)
	case row.Status.Active() && row.WorkerID == worker && row.Attempt == d.Attempt && !c.inTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it holds", worker, d.ID, d.Attempt, d.Reason)
	case row.Status == model.StatusCompleted && row.LastWorkerID == worker && row.Attempt == d.Attempt && !c.inTurn(d.ID):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it has completed", worker, d.ID, d.Attempt, d.Reason)
	case c.mayTakeBack(e, worker, d):
		c.violate("drops", "%s is told to drop %s#%d, %s, which it may take back", worker, d.ID, d.Attempt, d.Reason)
	case d.Reason.RemovesBytes() && e.asked[asCancel]+e.asked[asDelete] == 0:
		c.violate("wiped-if-wished", "%s is told to wipe %s#%d, %s; it is %s", worker, d.ID, d.Attempt, d.Reason, row.Status)
	}
}

// inTurn reports whether the turn has changed the task: then what was said in it
// may have been overtaken by what came after.
func (c *Oracle) inTurn(id string) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.e.id == id })
}

// checkForget asks that a worker is told to forget only what the store knows.
func (c *Oracle) checkForget(worker string, ref model.TaskRef) {
	e := c.entry(ref.ID)
	if c.inTurn(ref.ID) {
		return
	}
	if row := e.row; row == nil || row.Status.Active() && row.WorkerID == worker && row.Attempt == ref.Attempt {
		c.violate("answers-are-true", "%s may forget %s#%d; the store has %s", worker, ref.ID, ref.Attempt, told(row))
		return
	}
	row := e.row
	if row.Attempt == ref.Attempt && e.holder(ref.Attempt) == worker && e.has(worker, ref.Attempt) == saidCompleted|saidDownloading &&
		row.Status != model.StatusCompleted && !row.Status.Terminal() {
		c.violate("answers-are-true", "%s has completed %s#%d and may forget it; the store has %s", worker, ref.ID, ref.Attempt, told(row))
	}
}

// checkAssignment asks that an attempt goes to the one it was given to.
func (c *Oracle) checkAssignment(worker string, as *model.Assignment) {
	e := c.entry(as.Task.ID)
	if c.asked(e.id, asUpdate) {
		return // it may have got two new attempts, of which the store has the last
	}
	if e.holder(as.Attempt) != worker {
		c.violate("answers-are-true", "%s is given %s#%d, which the store gave to %q", worker, e.id, as.Attempt, e.holder(as.Attempt))
	}
	if row := e.row; row != nil && (as.Task.URL != row.URL || as.Task.Client != row.Client) {
		c.violate("answers-are-true", "%s is given %s with another url or client than it has", worker, e.id)
	}
}
