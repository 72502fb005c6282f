package oracle

import (
	"slices"
)

// waitsFor reports whether nothing but a slot is between a pending task and a
// worker; where that is in doubt it is false.
func (c *Oracle) waitsFor(e *taskHistory, k *workerHistory) bool {
	t := e.row
	if e.hold != holdNone || c.mayCoolDown(e) {
		return false
	}
	if !c.acceptsWork(k) || c.hadItsTrial(k) || !c.isCapable(k, t) {
		return false
	}
	if max(t.NotBefore, t.RetryAt) > min(c.dueWall, c.world.Wall())-1 && max(t.NotBefore, t.RetryAt) > 0 {
		return false
	}
	if c.clockChangedAt > 0 && max(t.NotBefore, t.RetryAt) > 0 && c.world.Now()-c.clockChangedAt < 40_000 {
		return false
	}
	recent := 2*millis(c.cfg.HeartbeatInterval) + 60_000
	avoids := func(s avoidance) bool {
		return s.worker == k.name && (c.world.Now()-s.at < recent || c.disturbedAt > s.at)
	}
	if slices.ContainsFunc(e.avoided, avoids) || slices.ContainsFunc(e.doubted, avoids) {
		return false
	}
	if c.mayWaitForHolder(e, k) || !hasDiskFor(k, t) {
		return false
	}
	if t.LastWorkerID == k.name && (!t.Error.IsFailure() || c.isChangedInTurn(e.id)) && max(c.statusSince(e), c.timeoutsResetAt) > c.world.Now()-recent {
		return false // it may not have listed it, or has just refused it; a stall does not count
	}
	return c.hasHostCapacity(e)
}

// mayWaitForHolder reports whether a task may wait for another worker, which has its
// bytes, for half a minute.
func (c *Oracle) mayWaitForHolder(e *taskHistory, k *workerHistory) bool {
	t := e.row
	if t.LastWorkerID == "" || t.LastWorkerID == k.name {
		return false
	}
	from := max(c.statusSince(e), e.queuedAt, c.disturbedAt)
	return c.world.Now()-from < 35_000 || t.RetryAt > 0 && c.world.Wall()-t.RetryAt < 35_000 || t.NotBefore > 0 && c.world.Wall()-t.NotBefore < 35_000
}

func (c *Oracle) isPlaceable(e *taskHistory) bool {
	for _, name := range c.workerOrder {
		k := c.workers[name]
		if k.isLive && c.waitsFor(e, k) {
			if _, most := c.countSlots(k); most < k.heartbeat.TotalSlots {
				return true
			}
		}
	}
	return false
}

// hasExclusionSets reports whether there is room for the requirement sets that leave a
// worker out.
func (c *Oracle) hasExclusionSets() bool { return c.cfg.RequirementSets >= 100 }
