package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkPlacing asks of every assignment of a turn whether the worker may have it,
// and whether nobody was passed over.
func (c *Oracle) checkPlacing() {
	var placed []*taskHistory
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.after.Attempt == ch.before.Attempt || ch.after.Attempt == 0 {
			continue
		}
		placed = append(placed, ch.task)
		if !c.turn.hasFailed {
			c.checkWorkerAllowed(&ch)
		}
	}
	if c.turn.hasFailed {
		return
	}
	c.checkStrategy(placed)
	for _, e := range placed {
		c.checkSlots(e)
		if !c.isRequestedInTurn(e.id, verbUpdate) {
			c.checkOrder(e)
			c.checkFairTurns(e)
		}
	}
}

// checkWorkerAllowed asks for a living worker that can do what the task needs.
func (c *Oracle) checkWorkerAllowed(ch *change) {
	e, a := ch.task, ch.after
	k := c.worker(a.WorkerID)
	if c.isRequestedInTurn(e.id, verbUpdate) {
		return // its holder goes on with it, as it is now
	}
	switch {
	case !c.turn.isConnected:
		c.violate("places-only-where-heard", "%s is given to %s, and nobody can hear of it", e.id, k.name)
	case !k.isLive || c.world.Now()-max(k.heardAt, c.timeoutsResetAt, c.disturbedAt) > c.heartbeatTimeout()+6000:
		c.violate("places-only-where-heard", "%s is given to %s, which has not been heard for %d ms", e.id, k.name, c.world.Now()-k.heardAt)
	case k.heartbeat.State != model.StateReady || c.isDrained(k) || !isHealthy(k):
		c.violate("places-only-where-wanted", "%s is given to %s, which is %s, drained or sick", e.id, k.name, k.heartbeat.State)
	case !c.isCapable(k, a):
		c.violate("placed-where-possible", "%s (%s, tags %v, folder %q, %d bytes, last at %q) is given to %s, which cannot do it: %+v, %d bytes free",
			e.id, a.URL, a.Tags, a.Folder, a.TotalLength, a.LastWorkerID, k.name, k.heartbeat.Capabilities, k.heartbeat.HealthMetrics.DiskFree)
	case a.NotBefore > c.world.Wall() && a.Attempt == 1 && c.clockSetBackAt == 0:
		c.violate("backoff", "%s is given to %s before its time", e.id, k.name)
	case ch.before != nil && ch.before.RetryAt > c.world.Wall() && c.clockSetBackAt < e.statusSince &&
		ch.before.RetryAt-c.world.Wall() <= millis(c.cfg.RetryDelay): // a longer one is from before the clock was turned
		c.violate("backoff", "%s is given to %s, %d ms before its backoff ends", e.id, k.name, ch.before.RetryAt-c.world.Wall())
	}
	c.checkOtherWorker(ch, k)
	for _, s := range e.avoided {
		if s.worker == k.name && c.world.Now()-s.at < 2*millis(c.cfg.HeartbeatInterval) && e.reported(k.name, previousAttempt(ch))&reportedRejected != 0 && c.hasExclusionSets() && e.requests[verbPause]+e.requests[verbRetry] == 0 {
			c.violate("not-where-refused", "%s is given to %s, which refused it %d ms ago", e.id, k.name, c.world.Now()-s.at)
		}
	}
}

// checkUndrained asks that a drain lasts until somebody ends it.
func (c *Oracle) checkUndrained(wc *model.WorkerChange) {
	old, k := c.workerRows[wc.ID], c.worker(wc.ID)
	if old == nil || !old.Drained || wc.Put == nil || wc.Put.Drained {
		return
	}
	if k.undrains++; k.undrains > k.resumes {
		c.violate("done-if-asked", "%s was drained and is not, and nobody asked for it", k.name)
	}
}

// previousAttempt is the attempt before the one that was just given.
func previousAttempt(ch *change) int64 {
	if ch.before == nil {
		return 0
	}
	return ch.before.Attempt
}

// hasExclusionSets reports whether there is room for the requirement sets that leave a
// worker out.
func (c *Oracle) hasExclusionSets() bool { return c.cfg.RequirementSets >= 100 }

// isCapable reports whether a worker has what a task needs, by its last heartbeat.
func (c *Oracle) isCapable(k *workerHistory, t *model.Task) bool {
	caps := &k.heartbeat.Capabilities
	if !c.tagsOnlyRank() {
		for name, value := range t.Tags { // in any order: all are needed
			if caps.Tags[name] != value {
				return false
			}
		}
	}
	if free := k.heartbeat.HealthMetrics.DiskFree; free > 0 && t.TotalLength >= 1<<20 && free < t.TotalLength && t.LastWorkerID != k.name {
		return false
	}
	if t.Folder != "" && !slices.Contains(caps.Folders, t.Folder) {
		return false
	}
	scheme, _, _ := strings.Cut(t.URL, ":")
	if scheme == "magnet" {
		return caps.SupportsBT
	}
	return len(caps.Protocols) == 0 || slices.Contains(caps.Protocols, scheme)
}

// countSlots is the slots of a worker that are taken, for certain and at most.
func (c *Oracle) countSlots(k *workerHistory) (certain, most int) {
	for _, e := range c.taskOrder {
		if e.row != nil && e.row.WorkerID == k.name {
			certain++
		}
	}
	most = certain
	for _, s := range k.stopping { // in any order: a sum
		most++
		if s.certain {
			certain++
		}
	}
	return certain, most
}

// checkSlots asks that a worker which is given something had a slot for it.
func (c *Oracle) checkSlots(e *taskHistory) {
	k := c.worker(e.row.WorkerID)
	if used, _ := c.countSlots(k); k.heartbeat != nil && used > k.heartbeat.TotalSlots && !c.isRequestedInTurn(e.id, verbUpdate) {
		c.violate("slots", "%s is given %s: it has %d tasks in %d slots", k.name, e.id, used, k.heartbeat.TotalSlots)
	}
	c.checkHostLimit(e)
}

// checkOrder asks whether a task went before one of a higher priority, or before
// an earlier one of the same client, that the same worker could have had.
func (c *Oracle) checkOrder(e *taskHistory) {
	k := c.worker(e.row.WorkerID)
	for _, o := range c.taskOrder {
		switch {
		case o.row == nil || o.row.Status != model.StatusPending || !c.waitsFor(o, k):
		case c.goesBefore(o, e):
			c.violate("priorities-first", "%s (%s) is given to %s, and %s (%s) waits", e.id, e.row.Priority, k.name, o.id, o.row.Priority)
		case o.row.Priority == e.row.Priority && o.row.Client == e.row.Client && o.row.Seq < e.row.Seq &&
			o.isUntouched() && e.row.Attempt == 1 && e.row.NotBefore == 0:
			c.violate("first-come-first-served", "%s is given to %s, and the earlier %s of the same client waits", e.id, k.name, o.id)
		}
	}
}

// waitsFor reports whether nothing but a slot is between a pending task and a
// worker; where that is in doubt it is false.
func (c *Oracle) waitsFor(e *taskHistory, k *workerHistory) bool {
	t := e.row
	if e.hold != holdNone {
		return false
	}
	if !k.isLive || k.heartbeat == nil || k.heartbeat.State != model.StateReady || c.isDrained(k) || !isHealthy(k) || !c.isCapable(k, t) {
		return false
	}
	if max(t.NotBefore, t.RetryAt) > min(c.dueWall, c.world.Wall())-1 && max(t.NotBefore, t.RetryAt) > 0 {
		return false
	}
	if c.clockChangedAt > 0 && max(t.NotBefore, t.RetryAt) > 0 && c.world.Now()-c.clockChangedAt < 40_000 {
		return false
	}
	recent := 2*millis(c.cfg.HeartbeatInterval) + 60_000
	for _, s := range e.avoided {
		if s.worker == k.name && (c.world.Now()-s.at < recent || c.disturbedAt > s.at) {
			return false
		}
	}
	if c.mayWaitForHolder(e, k) || !hasDiskFor(k, t) {
		return false
	}
	if t.LastWorkerID == k.name && (t.Error == nil || c.isChangedInTurn(e.id)) && max(c.statusSince(e), c.timeoutsResetAt) > c.world.Now()-recent {
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

// statusSince is when a task came to its status, be it in this turn.
func (c *Oracle) statusSince(e *taskHistory) model.Time {
	if c.turn.isActive && c.isChangedInTurn(e.id) {
		return c.world.Now()
	}
	return e.statusSince
}

// checkIdle asks, now and then, whether a task waits for nothing at all.
func (c *Oracle) checkIdle() {
	if !c.turn.isConnected || c.world.Now()-c.disturbedAt < 5000 {
		for _, e := range c.taskOrder {
			e.idleSince = 0
		}
		return
	}
	for _, e := range c.taskOrder {
		if e.row == nil || e.row.Status != model.StatusPending || !c.isPlaceable(e) {
			e.idleSince = 0
			continue
		}
		if e.idleSince == 0 {
			e.idleSince = c.world.Now()
		}
		if c.world.Now()-e.idleSince > 45_000 {
			c.violate("no-slot-stays-idle", "%s has waited for %d ms, and a worker that could do it has a free slot", e.id, c.world.Now()-e.idleSince)
			return
		}
	}
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

// checkLeases asks, now and then, whether somebody holds a task without a word for
// too long: a heartbeat renews only what it lists.
func (c *Oracle) checkLeases() {
	calm := c.world.Now() - c.disturbedAt
	for _, e := range c.taskOrder {
		t := e.row
		if t == nil || !t.Status.Active() {
			continue
		}
		k := c.worker(t.WorkerID)
		most := 2*c.listingGrace() + c.heartbeatTimeout() + 10_000
		if quiet := c.world.Now() - max(e.listedAt, e.assignedAt); min(quiet, calm) > most && !c.listsPartially(k) {
			c.violate("only-listed-leases-last", "%s#%d is %s at %s, which has not spoken of it for %d ms", e.id, t.Attempt, t.Status, k.name, quiet)
		}
		if t.Timeout > 0 && min(calm, c.world.Now()-e.assignedAt) > millis(t.Timeout)+c.heartbeatTimeout()+c.listingGrace()+10_000 {
			c.violate("timeouts-end-attempts", "%s#%d has a timeout of %v and is %s since %d ms", e.id, t.Attempt, t.Timeout, t.Status, c.world.Now()-e.assignedAt)
		}
	}
}

// listsPartially reports whether a worker lists only a part: from it nothing is taken.
func (c *Oracle) listsPartially(k *workerHistory) bool {
	return k.heartbeat != nil && k.heartbeat.Partial
}
