package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkLevel requires that the answer to a heartbeat is complete: what the worker lacks
// and should hold, and what it lists and should not.
func (c *Oracle) checkLevel(k *workerHistory, h *model.Heartbeat, a *model.HeartbeatAnswer, listed map[string]int64) {
	for _, e := range c.taskOrder {
		row := e.row
		if row == nil || row.WorkerID != k.name || c.isChangedInTurn(e.id) || h.Partial || k.leaving || listed[e.id] == row.Attempt || e.takenBack == row.Attempt {
			continue
		}
		c.checkOmitted(e, k)
		if c.world.Now() == c.disturbedAt {
			continue
		}
		if !slices.ContainsFunc(a.Assign, func(as model.Assignment) bool { return as.Task.ID == e.id && as.Attempt == row.Attempt }) {
			c.violate("level-not-edge", "%s does not list %s#%d, which it holds, and is not given it again", k.name, e.id, row.Attempt)
		}
	}
	for i := range h.Tasks {
		r := &h.Tasks[i]
		row := c.task(r.ID).row
		same := func(ref model.TaskRef) bool { return ref == r.Ref() }
		switch {
		case c.isChangedInTurn(r.ID) || row != nil && row.WorkerID == k.name && row.Attempt == r.Attempt:
		case row == nil && c.imports.active: // it may come with the rest of what is imported
		case row == nil && c.world.Now()-max(c.loadedAt, c.disturbedAt) < 2*c.heartbeatTimeout()+20_000: // it may not be called unknown yet
		case slices.ContainsFunc(a.Forget, same):
		case !slices.ContainsFunc(a.Drop, func(d model.Drop) bool { return same(model.TaskRef{ID: d.ID, Attempt: d.Attempt}) }):
			c.violate("level-not-edge", "%s lists %s#%d, %s, which it does not hold, and is not told to drop it", k.name, r.ID, r.Attempt, r.Status)
		}
	}
}
