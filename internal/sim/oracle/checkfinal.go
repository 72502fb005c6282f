package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Tasks is the number of tasks that were ever named.
func (c *Oracle) Tasks() int { return len(c.taskOrder) }

// TaskID is the id of one of them.
func (c *Oracle) TaskID(i int) string { return c.taskOrder[i].id }

// IsDrained reports whether the store has a worker as drained.
func (c *Oracle) IsDrained(worker string) bool {
	row := c.workerRows[worker]
	return row != nil && row.Drained
}

// CanServe reports whether a worker with the capabilities can do a task at all.
func (c *Oracle) CanServe(caps *model.Capabilities, t *model.Task) bool {
	return c.isCapable(&workerHistory{heartbeat: &model.Heartbeat{Capabilities: *caps}}, t)
}

// Unfinished names a task that has not ended and can, "" if there is none.
func (c *Oracle) Unfinished(servable func(*model.Task) bool) string {
	for _, e := range c.taskOrder {
		switch {
		case e.row == nil || e.row.Status.Terminal() || e.row.Status == model.StatusPaused:
		case e.row.Status == model.StatusPending && !servable(e.row):
		default:
			return e.id + " is " + describeTask(e.row)
		}
	}
	return ""
}

// LiveTasks lists the tasks that have not ended.
func (c *Oracle) LiveTasks() []string {
	var ids []string
	for _, e := range c.taskOrder {
		if e.row != nil && !e.row.Status.Terminal() {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// CheckAcknowledged asks for every task that was acknowledged.
func (c *Oracle) CheckAcknowledged() {
	for _, e := range c.taskOrder {
		if e.acknowledged && e.row == nil {
			c.world.Violate("nothing-lost", "%s was acknowledged and is not in the store", e.id)
		}
	}
}

// CheckAllEnded asks, at the end, that no task is left.
func (c *Oracle) CheckAllEnded() {
	for _, e := range c.taskOrder {
		if e.row != nil && !e.row.Status.Terminal() {
			c.world.Violate("everything-ends", "%s is %s at the end", e.id, e.row.Status)
		}
	}
}

// CheckHoldsNothing refuses, at the end, a task that a worker still holds.
func (c *Oracle) CheckHoldsNothing(worker, id string, attempt int64) {
	c.world.Violate("workers-agree", "%s holds %s#%d at the end", worker, id, attempt)
}

// CheckStore asks that the store has what it was given.
func (c *Oracle) CheckStore(tasks []*model.Task) {
	n := 0
	for _, e := range c.taskOrder {
		if e.row != nil {
			n++
		}
	}
	if len(tasks) != n {
		c.world.Violate("store-agrees", "it has %d tasks, and was given %d", len(tasks), n)
	}
	for _, t := range tasks {
		if row := c.task(t.ID).row; row == nil || !sameRow(t, row) {
			c.world.Violate("store-agrees", "%s differs from what was written: %+v, %+v", t.ID, t, row)
		}
	}
}

// sameRow compares what can differ between two rows of a task.
func sameRow(a, b *model.Task) bool {
	x, y := a.TaskState, b.TaskState
	x.Error, x.Result, y.Error, y.Result = nil, nil, nil, nil
	return x == y && a.Seq == b.Seq && a.Client == b.Client && a.URL == b.URL && a.Priority == b.Priority
}

// CheckRest asks that an engine which has nothing to do keeps nothing.
func (c *Oracle) CheckRest(s engine.Sizes) {
	answers, ok := c.dispatcher.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}}, engine.QueryStatus{})
	if !ok {
		c.world.Violate("comes-to-rest", "the dispatcher is not loaded at the end")
		return
	}
	for _, k := range answers[0].Workers.Workers {
		if k.UsedSlots > 0 || len(k.CurrentTasks) > 0 {
			c.world.Violate("comes-to-rest", "%s uses %d slots at the end, for %v", k.ID, k.UsedSlots, k.CurrentTasks)
		}
	}
	if s.Shapes > s.Workers {
		c.world.Violate("comes-to-rest", "%d shapes of %d workers", s.Shapes, s.Workers)
	}
	s.Workers, s.Shapes = 0, 0
	if s != (engine.Sizes{}) {
		c.world.Violate("comes-to-rest", "the engine still holds %+v", s)
	}
	if waiting := answers[1].Status.Waiting; len(waiting) > 0 {
		c.world.Violate("comes-to-rest", "something waits at the end: %v", waiting)
	}
}
