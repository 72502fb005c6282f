package oracle

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// replayTurn goes through what was said in a turn, in order, with its answers: each
// must be true by the store, and what the dispatcher knows of workers follows.
func (c *Oracle) replayTurn() {
	c.applyTickChanges()
	for _, ev := range c.turn.workerEvents {
		switch k := c.worker(ev.ID); {
		case ev.Status == model.WorkerRemoved && !c.isRemovedInTurn(ev.ID):
			c.forgetWorker(k)
		case ev.Status == model.WorkerOffline:
			c.disconnect(k)
		}
	}
	for _, m := range c.turn.messages {
		for i, op := range m.Ops {
			a := &m.Answers[i]
			if a.Err != nil {
				c.checkRefusal(op, a)
			}
			switch op := op.(type) {
			case engine.Import:
				if c.countEvent(op, a); a.Err == nil {
					c.violate("refusals", "an event that panics is said to be done")
				}
			case engine.Submit:
				c.checkSubmit(op, a)
			case engine.Heartbeat:
				c.checkHeartbeat(op.Heartbeat, a)
			case engine.Report:
				c.checkReport(op, a)
			case engine.RemoveWorker:
				if c.countEvent(op, a); a.Err == nil {
					c.checkRemoval(op)
					c.forgetWorker(c.worker(op.ID))
				}
			case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
				c.countEvent(op, a)
			default:
				c.checkVerb(op, a)
			}
		}
	}
	c.applyClientStops()
	c.checkRemoved()
	for _, ev := range c.turn.workerEvents { // one that was taken for lost and reports is back
		if k := c.worker(ev.ID); ev.Status != model.WorkerOffline && ev.Status != model.WorkerRemoved && k.registered && !k.isLive && !k.leaving {
			k.isLive, k.heardAt = true, c.world.Now()
		}
	}
}

// countEvent counts an event that was answered as it should be.
func (c *Oracle) countEvent(op engine.Event, a *dispatch.Answer) {
	if kind := eventKind(op, a); kind != "" {
		c.world.CountEvent(kind)
	}
}

// disconnect is a worker that is lost or has left: what it was told to stop is over.
func (c *Oracle) disconnect(k *workerHistory) {
	k.isLive = false
	clear(k.stopping)
}

// hasRefusedHeartbeat reports whether a heartbeat was refused in the turn because the
// store fails.
func (c *Oracle) hasRefusedHeartbeat() bool {
	for _, m := range c.turn.messages {
		if _, ok := m.Ops[0].(engine.Heartbeat); ok && m.Answers[0].Err != nil && m.Answers[0].Err.Code == model.CodeUnavailable {
			return true
		}
	}
	return false
}

// forgetWorker is a worker of which the dispatcher knows nothing any more.
func (c *Oracle) forgetWorker(k *workerHistory) {
	c.disconnect(k)
	k.heartbeat, k.registered = nil, false
}

// isRemovedInTurn reports whether an operator has removed the worker: then that comes
// after what workers said.
func (c *Oracle) isRemovedInTurn(worker string) bool {
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			if r, ok := op.(engine.RemoveWorker); ok && r.ID == worker {
				return true
			}
		}
	}
	return false
}

// applyTickChanges finds what the tick did before anything was heard: workers that were
// lost, and attempts that took too long, which their workers have to stop.
func (c *Oracle) applyTickChanges() {
	for _, ch := range c.turn.changes {
		b, a := ch.before, ch.after
		if b == nil || a == nil || b.WorkerID == "" {
			continue
		}
		switch k := c.worker(b.WorkerID); {
		case a.Losses > b.Losses:
			c.disconnect(k)
		case a.Failures > b.Failures && b.Timeout > 0:
			c.markStopping(k, ch.task.id, b.Attempt, false)
		}
	}
}

// applyClientStops finds what clients have taken from workers, after these had their
// say: they have to stop it.
func (c *Oracle) applyClientStops() {
	for _, ch := range c.turn.changes {
		b, a, id := ch.before, ch.after, ch.task.id
		if b == nil {
			continue
		}
		holder := cmp.Or(b.WorkerID, b.LastWorkerID)
		ends := c.isRequestedInTurn(id, verbCancel) || c.isRequestedInTurn(id, verbPause) || c.isRequestedInTurn(id, verbUpdate) && (a == nil || a.WorkerID != holder)
		if holder == "" || !ends {
			continue
		}
		k := c.worker(holder)
		stopped := a != nil && (a.Status == model.StatusCanceled || a.Status == model.StatusPaused)
		c.markStopping(k, id, b.Attempt, stopped && b.WorkerID != "" && c.isOnlyMention(id) && k.isLive)
	}
}

// isOnlyMention reports whether one operation of the turn speaks of a task.
func (c *Oracle) isOnlyMention(id string) bool {
	n := 0
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.Heartbeat:
				if op.State == model.StateLeaving || slices.ContainsFunc(op.Tasks, func(r model.Report) bool { return r.ID == id }) {
					n++
				}
			case engine.Report:
				if op.ID == id {
					n++
				}
			default:
				if other, _, _ := verbOf(op); other == id {
					n++
				}
			}
		}
	}
	return n == 1
}

func (c *Oracle) markStopping(k *workerHistory, id string, attempt int64, certain bool) {
	if old, ok := k.stopping[id]; ok && old.certain && old.attempt == attempt {
		return
	}
	k.stopping[id] = stopping{attempt, certain}
}

// checkRefusal asks that a refusal is one that the contract knows.
func (c *Oracle) checkRefusal(op engine.Event, a *dispatch.Answer) {
	if _, ok := op.(engine.Heartbeat); ok && a.Err.Code == model.CodeUnavailable {
		c.disturbedAt = c.world.Now()
	}
	switch a.Err.Code {
	case model.CodeNotFound, model.CodeConflict, model.CodeTooMany, model.CodeUnavailable:
	case model.CodeInternal:
		if !panicsEngine(op) {
			c.violate("refusals", "%T is answered 500, and it is another event that panics", op)
		}
	default:
		c.violate("refusals", "%T is answered %d: %s", op, a.Err.Code, a.Err.Message)
	}
}

func (c *Oracle) checkSubmit(op engine.Submit, a *dispatch.Answer) {
	e := c.task(op.Spec.ID)
	switch {
	case a.Err == nil && c.isRequestedInTurn(e.id, verbDelete): // in one turn
	case a.Err == nil:
		if e.row == nil || e.row.Client != op.Client || e.row.SpecHash != op.Hash {
			c.violate("answers-are-true", "the submit of %s by %s is acknowledged; the store has %s", e.id, op.Client, describeTask(e.row))
			return
		}
		earlier := c.isChangedInTurn(e.id) && !c.isCreatedInTurn(e) // by a turn that took in the first part of a long message
		if a.Task == nil || a.Task.ID != e.id || a.Task.Status != e.row.Status && !earlier {
			c.violate("answers-are-true", "the submit of %s is answered with %s; the store has %s", e.id, describeTask(a.Task), describeTask(e.row))
		}
		c.countEvent(op, a)
		e.acknowledged = true
	case a.Err.Code == model.CodeConflict:
		if e.row != nil && e.row.Client == op.Client && e.row.SpecHash == op.Hash {
			c.violate("idempotent", "%s is submitted again as it was, and refused: %s", e.id, a.Err.Message)
		}
		if e.row == nil && !e.deleted && !c.isChangedInTurn(e.id) {
			c.violate("refusals", "%s does not exist, and its submit is refused: %s", e.id, a.Err.Message)
		}
		c.countEvent(op, a)
	case a.Err.Code == model.CodeTooMany:
		c.checkTooMany(e, op.Client, a)
		c.countEvent(op, a)
	}
}

// checkTooMany asks that a limit which is said to be reached is.
func (c *Oracle) checkTooMany(e *taskHistory, client string, a *dispatch.Answer) {
	if c.cfg.RequirementSets >= 1000 && c.isWithinLimits(client) {
		c.violate("refusals", "%s is refused: %s", e.id, a.Err.Message)
	}
}

// describeTask is a row in a few words.
func describeTask(t *model.Task) string {
	if t == nil {
		return "none"
	}
	return string(t.Status) + " of " + t.Client
}

// checkHeartbeat takes over what a worker says of itself.
func (c *Oracle) checkHeartbeat(h *model.Heartbeat, a *dispatch.Answer) {
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
		return // a stranger's goodbye
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
	for id, s := range k.stopping { // in any order: each is looked at alone
		switch {
		case listed[id] == s.attempt:
		case !repeated && !h.Partial:
			delete(k.stopping, id)
		default:
			k.stopping[id] = stopping{s.attempt, false}
		}
	}
}

// applyListing takes over what a heartbeat says of tasks.
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

// checkLevel asks that the answer to a heartbeat says all: what the worker lacks and
// should hold, and what it lists and should not.
func (c *Oracle) checkLevel(k *workerHistory, h *model.Heartbeat, a *model.HeartbeatAnswer, listed map[string]int64) {
	for _, e := range c.taskOrder {
		row := e.row
		if row == nil || row.WorkerID != k.name || c.isChangedInTurn(e.id) || h.Partial || k.leaving || listed[e.id] == row.Attempt || c.world.Now() == c.disturbedAt {
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

// applyReport notes that a registered worker has spoken of an attempt.
func (c *Oracle) applyReport(k *workerHistory, r *model.Report) {
	e := c.task(r.ID)
	if e.row == nil || e.row.Status.Terminal() || c.isCreatedInTurn(e) {
		e.maxSeenAttempt = 0
		return
	}
	if e.assignee(r.Attempt) == k.name && e.row.Attempt == r.Attempt {
		e.listedAt = c.world.Now()
		c.recordProgress(e, r)
	}
	if k.isLive && r.Attempt < 1<<40 {
		e.maxSeenAttempt = max(e.maxSeenAttempt, r.Attempt)
	}
}

func (c *Oracle) isCreatedInTurn(e *taskHistory) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.task == e && ch.before == nil })
}

// checkAdmitted asks that one worker at a time has a name.
func (c *Oracle) checkAdmitted(k *workerHistory, h *model.Heartbeat) {
	old := k.heartbeat
	if old == nil {
		return
	}
	if old.Instance == h.Instance && h.Epoch < old.Epoch && k.isLive {
		c.violate("one-worker-a-name", "%s: epoch %d is heard after epoch %d", k.name, h.Epoch, old.Epoch)
	}
	if old.Instance != h.Instance && k.isLive && !c.isSilent(k.name) {
		c.violate("one-worker-a-name", "%s: the instance %s takes the name of %s, which is alive", k.name, h.Instance, old.Instance)
	}
}

// checkReport asks that what is accepted of a worker is in the store.
func (c *Oracle) checkReport(op engine.Report, a *dispatch.Answer) {
	k := c.worker(op.Worker)
	c.countEvent(op, a)
	if a.Drop != nil {
		c.checkDrop(op.Worker, *a.Drop)
	}
	if a.Err != nil {
		if k.isLive && a.Err.Code == model.CodeConflict {
			c.applyReport(k, &op.Report)
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

// panicsEngine reports whether an event is one of those of poison.
func panicsEngine(op engine.Event) bool {
	switch op := op.(type) {
	case engine.Import:
		return true
	case engine.QueryWorkers:
		return op.ID == "" && op.Limit == 0
	}
	return false
}
