package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkAhead requires that a worker gets a task beyond its slots only if the task has no
// timeout and no other worker has a free slot for it.
func (c *Oracle) checkAhead(e *taskHistory, k *workerHistory) {
	used, _ := c.countSlots(k)
	if k.heartbeat == nil || used-c.countAssignedInTurn(k) < k.heartbeat.TotalSlots || c.isRequestedInTurn(e.id, verbUpdate) {
		return // it may have got the last free slot
	}
	if e.row.Timeout > 0 {
		c.violate("prefetch", "%s has a timeout of %v and is given to %s, which holds %d tasks in %d slots", e.id, e.row.Timeout, k.name, used, k.heartbeat.TotalSlots)
	}
	c.checkTrialAhead(e, k)
	if e.row.LastWorkerID != "" {
		return // another worker may be passed over for it, or be waited for
	}
	for _, name := range c.workerOrder {
		o := c.workers[name]
		if o == k || !c.isCandidate(o, e.row) {
			continue
		}
		if _, most := c.countSlots(o); most < o.heartbeat.TotalSlots {
			c.violate("prefetch", "%s is given to %s, which holds %d tasks in %d slots, and %s has a free slot", e.id, k.name, used, k.heartbeat.TotalSlots, name)
		}
	}
}

// countAssignedInTurn is how many tasks of a worker were assigned to it in this turn.
func (c *Oracle) countAssignedInTurn(k *workerHistory) int {
	n := 0
	for i := range c.turn.changes {
		ch := &c.turn.changes[i]
		n += countIf(ch.after != nil && ch.after.WorkerID == k.name && (ch.before == nil || ch.after.Attempt != ch.before.Attempt))
	}
	return n
}

// startTakingBack notes a drop of a task that its holder lists as queued, and reports whether
// it is one.
func (c *Oracle) startTakingBack(e *taskHistory, worker string, d model.Drop) bool {
	row := e.row
	is := d.Reason == model.DropSuperseded && row.Timeout == 0 && row.WorkerID == worker && row.Attempt == d.Attempt && e.reported(worker, d.Attempt)&reportedQueued != 0
	if is {
		e.takenBack = d.Attempt
	}
	return is
}

// wasTakenBack reports whether an attempt was taken back, perhaps in this turn: one that is long, for
// example because the disk is slow, may have both the drop and the holder's heartbeat without the
// attempt.
func (c *Oracle) wasTakenBack(e *taskHistory, worker string, attempt int64) bool {
	if e.takenBack == attempt {
		return true
	}
	if e.row == nil || e.row.Timeout > 0 || e.reported(worker, attempt)&reportedQueued == 0 {
		return false
	}
	ref := model.TaskRef{ID: e.id, Attempt: attempt}
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			if h, ok := op.(engine.Heartbeat); ok && h.WorkerID == worker && !h.Partial && !lists(h.Heartbeat, ref) {
				return true
			}
		}
	}
	return false
}

// checkTakenBack reports whether a task was taken from its holder before it had begun, and
// requires that the holder has stopped listing it: otherwise it might run twice.
func (c *Oracle) checkTakenBack(e *taskHistory, k *workerHistory, attempt int64) bool {
	if !c.wasTakenBack(e, k.name, attempt) {
		return false
	}
	ref := model.TaskRef{ID: e.id, Attempt: attempt}
	said := k.heartbeat != nil && !k.heartbeat.Partial && lists(k.heartbeat, ref)
	// A heartbeat without an answer, because the process crashed, may have had its effect.
	for _, m := range slices.Concat(c.turn.messages, c.undecided) {
		for _, op := range m.Ops {
			if h, ok := op.(engine.Heartbeat); ok && h.WorkerID == k.name {
				said = said && lists(h.Heartbeat, ref)
			}
		}
	}
	if said {
		c.violate("prefetch", "%s#%d is taken back from %s, which still lists it", e.id, attempt, k.name)
	}
	return true
}

// isDoubtful reports whether the holder of a task may have dropped it, without having begun it,
// before the engine was loaded.
func (c *Oracle) isDoubtful(e *taskHistory, row *model.Task) bool {
	return row.Status == model.StatusQueued && row.Timeout == 0 && c.loadedAt >= e.assignedAt && e.listedAt <= c.loadedAt
}

// mayBeOmitted reports whether a task may be taken from its holder because two heartbeats omit it.
func (c *Oracle) mayBeOmitted(e *taskHistory, row *model.Task) bool {
	return c.isDoubtful(e, row) && e.omittedAt > 0 && c.world.Now()-e.omittedAt >= millis(c.cfg.HeartbeatInterval)/2
}

// checkOmitted notes a heartbeat that omits a task which stays with the worker, and requires that
// this ends soon for a task which the worker may have dropped.
func (c *Oracle) checkOmitted(e *taskHistory, k *workerHistory) {
	now := c.world.Now()
	switch {
	case e.omittedAt == 0:
		e.omittedAt = now
	case k.heartbeat.Prefetch > 0 && c.loadedAt > e.assignedAt && c.isDoubtful(e, e.row) && now-max(e.omittedAt, c.disturbedAt+maxBackOff) > millis(c.cfg.HeartbeatInterval):
		c.violate("prefetch", "%s#%d is kept for %s, which had not begun it before the engine was loaded, and has omitted it for %d ms",
			e.id, e.row.Attempt, k.name, now-e.omittedAt)
	}
}
