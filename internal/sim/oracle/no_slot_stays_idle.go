package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkIdle checks, now and then, whether a task waits for nothing at all.
func (c *Oracle) checkIdle() {
	if !c.turn.isConnected || c.world.Now()-c.disturbedAt < 5000 {
		for _, e := range c.taskOrder {
			e.idleSince = 0
		}
		for _, name := range c.workerOrder {
			c.workers[name].freeSince = 0
		}
		return
	}
	c.noteFreeSlots()
	for _, e := range c.taskOrder {
		c.checkIdleAhead(e)
		if e.row == nil || e.row.Status != model.StatusPending || !c.isPlaceable(e) {
			e.idleSince = 0
			continue
		}
		if e.idleSince == 0 {
			e.idleSince = c.world.Now()
		}
		if c.world.Now()-e.idleSince > 25_000 {
			c.violate("no-slot-stays-idle", "%s has waited for %d ms, and a worker that could do it has a free slot", e.id, c.world.Now()-e.idleSince)
			return
		}
	}
}

// noteFreeSlots notes since when each worker has had a free slot.
func (c *Oracle) noteFreeSlots() {
	for _, name := range c.workerOrder {
		k := c.workers[name]
		_, most := c.countSlots(k)
		switch {
		case !c.acceptsWork(k) || most >= k.heartbeat.TotalSlots:
			k.freeSince = 0
		case k.freeSince == 0 || k.assignedAt >= k.freeSince:
			k.freeSince = c.world.Now()
		}
	}
}

// checkIdleAhead requires that a task which a worker holds beyond its slots, and has not begun,
// goes to another worker that has a free slot for it.
func (c *Oracle) checkIdleAhead(e *taskHistory) {
	if e.row == nil || e.row.Status != model.StatusQueued || e.row.Timeout > 0 {
		return
	}
	k := c.worker(e.row.WorkerID)
	held, _ := c.countSlots(k)
	isSilent := c.world.Now()-k.heardAt > millis(c.cfg.HeartbeatInterval)+2_000 // it may hold less by now
	switch {
	case k.heartbeat == nil || k.heartbeat.Partial || isSilent || held <= k.heartbeat.TotalSlots || !listsAsQueued(k.heartbeat, e):
		e.aheadSince = 0
		return
	case e.aheadSince == 0:
		e.aheadSince = c.world.Now()
	}
	longest := 3*millis(c.cfg.HeartbeatInterval) + 4_000 // two until it is taken back, one until its holder omits it
	for _, name := range c.workerOrder {
		o := c.workers[name]
		if o == k || o.freeSince == 0 || c.world.Now()-max(o.freeSince, e.aheadSince, c.disturbedAt) <= longest || !c.waitsFor(e, o) {
			continue
		}
		c.violate("no-slot-stays-idle", "%s#%d waits at %s, which holds %d tasks in %d slots, and %s has had a free slot for %d ms", e.id, e.row.Attempt,
			k.name, len(k.heartbeat.Tasks), k.heartbeat.TotalSlots, name, c.world.Now()-o.freeSince)
		return
	}
}

// listsAsQueued reports whether a heartbeat lists the attempt of a task as not begun.
func listsAsQueued(h *model.Heartbeat, e *taskHistory) bool {
	return slices.ContainsFunc(h.Tasks, func(r model.Report) bool {
		return r.Status == model.ReportQueued && r.Ref() == model.TaskRef{ID: e.id, Attempt: e.row.Attempt}
	})
}
