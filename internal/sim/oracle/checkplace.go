package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkPlacing asks of every assignment of a turn whether the worker may have it,
// and whether nobody was passed over.
func (c *Oracle) checkPlacing() {
	var placed []*entry
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.after.Attempt == ch.before.Attempt || ch.after.Attempt == 0 {
			continue
		}
		placed = append(placed, ch.e)
		if !c.turn.failed {
			c.checkMayHave(&ch)
		}
	}
	if c.turn.failed {
		return
	}
	c.checkChoice(placed)
	for _, e := range placed {
		c.checkSlots(e)
		if !c.asked(e.id, asUpdate) {
			c.checkOrder(e)
			c.checkFair(e)
		}
	}
}

// checkMayHave asks for a living worker that can do what the task needs.
func (c *Oracle) checkMayHave(ch *change) {
	e, a := ch.e, ch.after
	k := c.worker(a.WorkerID)
	if c.asked(e.id, asUpdate) {
		return // its holder goes on with it, as it is now
	}
	switch {
	case !c.turn.connected:
		c.violate("places-only-where-heard", "%s is given to %s, and nobody can hear of it", e.id, k.name)
	case !k.present || c.w.Now()-max(k.heard, c.freshAt, c.shakenAt) > c.timeout()+6000:
		c.violate("places-only-where-heard", "%s is given to %s, which has not been heard for %d ms", e.id, k.name, c.w.Now()-k.heard)
	case k.beat.State != model.StateReady || c.drained(k) || !healthy(k):
		c.violate("places-only-where-wanted", "%s is given to %s, which is %s, drained or sick", e.id, k.name, k.beat.State)
	case !c.able(k, a):
		c.violate("placed-where-possible", "%s (%s, tags %v, folder %q, %d bytes, last at %q) is given to %s, which cannot do it: %+v, %d bytes free",
			e.id, a.URL, a.Tags, a.Folder, a.TotalLength, a.LastWorkerID, k.name, k.beat.Capabilities, k.beat.HealthMetrics.DiskFree)
	case a.NotBefore > c.w.Wall() && a.Attempt == 1 && c.setBackAt == 0:
		c.violate("backoff", "%s is given to %s before its time", e.id, k.name)
	case ch.before != nil && ch.before.RetryAt > c.w.Wall() && c.setBackAt < e.since &&
		ch.before.RetryAt-c.w.Wall() <= ms(c.cfg.RetryDelay): // a longer one is from before the clock was turned
		c.violate("backoff", "%s is given to %s, %d ms before its backoff ends", e.id, k.name, ch.before.RetryAt-c.w.Wall())
	}
	c.checkElsewhere(ch, k)
	for _, s := range e.shunned {
		if s.worker == k.name && c.w.Now()-s.at < 2*ms(c.cfg.HeartbeatInterval) && e.has(k.name, lastOf(ch))&saidRejected != 0 && c.manySets() && e.asked[asPause]+e.asked[asRetry] == 0 {
			c.violate("not-where-refused", "%s is given to %s, which refused it %d ms ago", e.id, k.name, c.w.Now()-s.at)
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

// lastOf is the attempt before the one that was just given.
func lastOf(ch *change) int64 {
	if ch.before == nil {
		return 0
	}
	return ch.before.Attempt
}

// manySets reports whether there is room for the requirement sets that leave a
// worker out.
func (c *Oracle) manySets() bool { return c.cfg.RequirementSets >= 100 }

// able reports whether a worker has what a task needs, by its last heartbeat.
func (c *Oracle) able(k *known, t *model.Task) bool {
	caps := &k.beat.Capabilities
	if !c.tagsOnlyRank() {
		for name, value := range t.Tags { // in any order: all are needed
			if caps.Tags[name] != value {
				return false
			}
		}
	}
	if free := k.beat.HealthMetrics.DiskFree; free > 0 && t.TotalLength >= 1<<20 && free < t.TotalLength && t.LastWorkerID != k.name {
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

// busy is the slots of a worker that are taken, for certain and at most.
func (c *Oracle) busy(k *known) (certain, most int) {
	for _, e := range c.order {
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
func (c *Oracle) checkSlots(e *entry) {
	k := c.worker(e.row.WorkerID)
	if used, _ := c.busy(k); k.beat != nil && used > k.beat.TotalSlots && !c.asked(e.id, asUpdate) {
		c.violate("slots", "%s is given %s: it has %d tasks in %d slots", k.name, e.id, used, k.beat.TotalSlots)
	}
	c.checkHost(e)
}

// checkOrder asks whether a task went before one of a higher priority, or before
// an earlier one of the same client, that the same worker could have had.
func (c *Oracle) checkOrder(e *entry) {
	k := c.worker(e.row.WorkerID)
	for _, o := range c.order {
		switch {
		case o.row == nil || o.row.Status != model.StatusPending || !c.waitsFor(o, k):
		case c.goesBefore(o, e):
			c.violate("priorities-first", "%s (%s) is given to %s, and %s (%s) waits", e.id, e.row.Priority, k.name, o.id, o.row.Priority)
		case o.row.Priority == e.row.Priority && o.row.Client == e.row.Client && o.row.Seq < e.row.Seq &&
			o.plain() && e.row.Attempt == 1 && e.row.NotBefore == 0:
			c.violate("first-come-first-served", "%s is given to %s, and the earlier %s of the same client waits", e.id, k.name, o.id)
		}
	}
}

// waitsFor reports whether nothing but a slot is between a pending task and a
// worker; where that is in doubt it is false.
func (c *Oracle) waitsFor(e *entry, k *known) bool {
	t := e.row
	if e.hold != holdNone {
		return false
	}
	if !k.present || k.beat == nil || k.beat.State != model.StateReady || c.drained(k) || !healthy(k) || !c.able(k, t) {
		return false
	}
	if max(t.NotBefore, t.RetryAt) > min(c.dueWall, c.w.Wall())-1 && max(t.NotBefore, t.RetryAt) > 0 {
		return false
	}
	if c.turnedAt > 0 && max(t.NotBefore, t.RetryAt) > 0 && c.w.Now()-c.turnedAt < 40_000 {
		return false
	}
	recent := 2*ms(c.cfg.HeartbeatInterval) + 60_000
	for _, s := range e.shunned {
		if s.worker == k.name && (c.w.Now()-s.at < recent || c.shakenAt > s.at) {
			return false
		}
	}
	if c.mayBeBound(e, k) || !roomy(k, t) {
		return false
	}
	if t.LastWorkerID == k.name && (t.Error == nil || c.inTurn(e.id)) && max(c.since(e), c.freshAt) > c.w.Now()-recent {
		return false // it may not have listed it, or has just refused it; a stall does not count
	}
	return c.hostHasRoom(e)
}

// mayBeBound reports whether a task may wait for another worker, which has its
// bytes, for half a minute.
func (c *Oracle) mayBeBound(e *entry, k *known) bool {
	t := e.row
	if t.LastWorkerID == "" || t.LastWorkerID == k.name {
		return false
	}
	from := max(c.since(e), e.queuedAt, c.shakenAt)
	return c.w.Now()-from < 35_000 || t.RetryAt > 0 && c.w.Wall()-t.RetryAt < 35_000 || t.NotBefore > 0 && c.w.Wall()-t.NotBefore < 35_000
}

// since is when a task came to its status, be it in this turn.
func (c *Oracle) since(e *entry) model.Time {
	if c.turn.active && c.inTurn(e.id) {
		return c.w.Now()
	}
	return e.since
}

// checkIdle asks, now and then, whether a task waits for nothing at all.
func (c *Oracle) checkIdle() {
	if !c.turn.connected || c.w.Now()-c.shakenAt < 5000 {
		for _, e := range c.order {
			e.stuckSince = 0
		}
		return
	}
	for _, e := range c.order {
		if e.row == nil || e.row.Status != model.StatusPending || !c.couldBePlaced(e) {
			e.stuckSince = 0
			continue
		}
		if e.stuckSince == 0 {
			e.stuckSince = c.w.Now()
		}
		if c.w.Now()-e.stuckSince > 45_000 {
			c.violate("no-slot-stays-idle", "%s has waited for %d ms, and a worker that could do it has a free slot", e.id, c.w.Now()-e.stuckSince)
			return
		}
	}
}

func (c *Oracle) couldBePlaced(e *entry) bool {
	for _, name := range c.names {
		k := c.workers[name]
		if k.present && c.waitsFor(e, k) {
			if _, most := c.busy(k); most < k.beat.TotalSlots {
				return true
			}
		}
	}
	return false
}

// checkLeases asks, now and then, whether somebody holds a task without a word for
// too long: a heartbeat renews only what it lists.
func (c *Oracle) checkLeases() {
	calm := c.w.Now() - c.shakenAt
	for _, e := range c.order {
		t := e.row
		if t == nil || !t.Status.Active() {
			continue
		}
		k := c.worker(t.WorkerID)
		most := 2*c.grace() + c.timeout() + 10_000
		if quiet := c.w.Now() - max(e.listedAt, e.assignedAt); min(quiet, calm) > most && !c.partial(k) {
			c.violate("only-listed-leases-last", "%s#%d is %s at %s, which has not spoken of it for %d ms", e.id, t.Attempt, t.Status, k.name, quiet)
		}
		if t.Timeout > 0 && min(calm, c.w.Now()-e.assignedAt) > ms(t.Timeout)+c.timeout()+c.grace()+10_000 {
			c.violate("timeouts-end-attempts", "%s#%d has a timeout of %v and is %s since %d ms", e.id, t.Attempt, t.Timeout, t.Status, c.w.Now()-e.assignedAt)
		}
	}
}

// partial reports whether a worker lists only a part: from it nothing is taken.
func (c *Oracle) partial(k *known) bool { return k.beat != nil && k.beat.Partial }
