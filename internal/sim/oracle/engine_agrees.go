package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkTaskAgrees requires that the engine knows the live tasks of the store, and no
// others, with the same status, attempt and worker.
func (c *Oracle) checkTaskAgrees(e *taskHistory, got model.TaskState, ok bool) {
	row := e.row
	if row == nil || row.Status.Terminal() {
		if ok {
			c.violate("engine-agrees", "%s is %s for the engine; the store has %s", e.id, got.Status, describeTask(row))
		}
		return
	}
	if !ok || got.Status != row.Status || got.Attempt != row.Attempt || got.WorkerID != row.WorkerID {
		c.violate("engine-agrees", "%s is %s, attempt %d, of %q for the engine; the store has %s, %d, %q",
			e.id, got.Status, got.Attempt, got.WorkerID, row.Status, row.Attempt, row.WorkerID)
	}
}

// checkCounts requires that the engine counts the tasks as the store does.
func (c *Oracle) checkCounts(counts model.Counts) {
	for _, s := range model.Statuses {
		if got := counts[s]; got != c.counts[s] {
			c.violate("engine-agrees", "the engine counts %d tasks as %s; the store has %d", got, s, c.counts[s])
		}
	}
}

// checkCurrentTasks requires that the reported tasks of a worker are assigned to it.
func (c *Oracle) checkCurrentTasks(row *model.Worker) {
	for _, id := range row.CurrentTasks {
		if t := c.task(id).row; t == nil || t.WorkerID != row.ID {
			c.violate("engine-agrees", "%s is reported to hold %s; the store has %s", row.ID, id, describeTask(t))
		}
	}
}
