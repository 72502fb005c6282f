package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkHeartbeat records the state in a worker's heartbeat.
func (c *Oracle) checkHeartbeat(h *model.Heartbeat, a *engine.Answer) {
	k := c.worker(h.WorkerID)
	if a.Err != nil {
		c.countEvent(engine.Heartbeat{Heartbeat: h}, a)
		return
	}
	c.checkAdmitted(k, h)
	for _, d := range a.Heartbeat.Drop {
		c.checkDrop(k.name, d)
	}
	for _, ref := range a.Heartbeat.Forget {
		c.checkForget(k.name, ref)
	}
	for _, as := range a.Heartbeat.Assign {
		c.checkAssignment(k.name, &as)
	}
	if old := k.heartbeat; old != nil && old.Instance == h.Instance && old.Epoch == h.Epoch && h.Seq < old.Seq && k.registered {
		return // overtaken
	}
	if !k.isLive && k.heartbeat == nil && h.State == model.StateLeaving {
		return // an unknown worker deregisters
	}
	c.countEvent(engine.Heartbeat{Heartbeat: h}, a)
	repeated := k.heartbeat != nil && k.heartbeat.Instance == h.Instance && k.heartbeat.Epoch == h.Epoch && h.Seq == k.heartbeat.Seq
	k.heartbeat, k.heardAt, k.isLive, k.leaving = h, c.world.Now(), true, h.State == model.StateLeaving
	k.registered, k.overdue = true, false
	listed := c.applyListing(k, h, a.Heartbeat)
	c.checkLevel(k, h, a.Heartbeat, listed)
	if k.leaving {
		c.disconnect(k)
		return
	}
	for id, s := range k.stopping { // in any order: each is checked alone
		switch {
		case listed[id] == s.attempt:
		case !repeated && !h.Partial:
			delete(k.stopping, id)
		default:
			k.stopping[id] = stopping{s.attempt, false}
		}
	}
}

// applyListing records the tasks that a heartbeat lists.
func (c *Oracle) applyListing(k *workerHistory, h *model.Heartbeat, a *model.HeartbeatAnswer) map[string]int64 {
	listed := make(map[string]int64, len(h.Tasks))
	for i := range h.Tasks {
		r := &h.Tasks[i]
		listed[r.ID] = r.Attempt
		c.applyReport(k, r)
		if s, ok := k.stopping[r.ID]; ok {
			k.stopping[r.ID] = stopping{s.attempt, false}
		}
		if slices.ContainsFunc(a.Drop, func(d model.Drop) bool { return d.ID == r.ID && d.Attempt == r.Attempt }) && !r.Status.Finished() {
			if s, ok := k.stopping[r.ID]; !ok || s.attempt != r.Attempt {
				k.stopping[r.ID] = stopping{r.Attempt, false}
			}
		}
	}
	return listed
}

// applyReport notes that a registered worker has spoken of an attempt.
func (c *Oracle) applyReport(k *workerHistory, r *model.Report) {
	e := c.task(r.ID)
	if e.row == nil || e.row.Status.Terminal() || c.isCreatedInTurn(e) {
		e.maxSeenAttempt = 0
		return
	}
	if e.assignee(r.Attempt) == k.name && e.row.Attempt == r.Attempt {
		e.listedAt, e.omittedAt = c.world.Now(), 0
		c.recordProgress(e, r)
	}
	if k.isLive && r.Attempt < 1<<49 {
		e.maxSeenAttempt = max(e.maxSeenAttempt, r.Attempt)
	}
}

// checkReport requires that what is accepted of a worker is in the store.
func (c *Oracle) checkReport(op engine.Report, a *engine.Answer) {
	k := c.worker(op.Worker)
	c.countEvent(op, a)
	if a.Drop != nil {
		c.checkDrop(op.Worker, *a.Drop)
	}
	if a.Err != nil {
		if k.isLive && a.Err.Code == model.CodeConflict {
			c.applyReport(k, &op.Report)
			if s, ok := k.stopping[op.ID]; ok && s.attempt == op.Attempt && op.Status.Finished() { // it has ended by itself
				k.stopping[op.ID] = stopping{s.attempt, false}
			}
		}
		return
	}
	if op.Status.Finished() {
		c.checkForget(op.Worker, op.Ref())
	}
	if k.registered && !k.isLive && !k.leaving && c.isChangedInTurn(op.ID) {
		k.isLive, k.heardAt = true, c.world.Now() // it was taken for lost and takes its task back
	}
	if s, ok := k.stopping[op.ID]; ok { // a newer attempt there ends an older one
		k.stopping[op.ID] = stopping{s.attempt, false}
	}
	c.applyReport(k, &op.Report)
}
