package engine

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A worker may hold tasks beyond its slots, [model.Worker].Prefetch of them at most: it begins
// the next one by itself when a slot is free. The index gives it one only if no worker with a
// free slot may have it, and only a task without a timeout. Such a task can be taken back as
// long as the worker lists it as queued: for a task of a higher priority, or for a worker that
// would be idle. It is pending again only after the worker has stopped listing it, so that it
// never runs twice.

// maxTakenBack bounds the tasks that one tick takes back for idle workers.
const maxTakenBack = 64

// markBegun notes that the holder has begun the task, so that it is not taken back.
func (e *Engine) markBegun(t *task) {
	e.unlistQueued(t)
	e.endClaim(t) // the drop may still stop it, so that takenBack stays
}

// listQueued notes that the holder lists the task as queued: it may be taken back.
func (e *Engine) listQueued(t *task) {
	r := t.run
	if r.takenBack || r.listedAs == t.Priority() || t.extraOrZero().timeout > 0 {
		return
	}
	if r.assignedAs != t.Priority() { // its holder would begin it by the former one
		e.startTakingBack(t)
		return
	}
	e.unlistQueued(t)
	r.listedAs = t.Priority()
	r.worker.queued[r.listedAs-1]++
	e.listedQueued++
	e.markDirty(r.worker)
}

// knowsAssignedAs reports whether the engine knows with which priority the task came to its worker,
// or to the one that was lost. After a load only the row can tell it.
func (t *task) knowsAssignedAs() bool {
	if t.run != nil {
		return t.run.assignedAs != 0
	}
	return t.extraOrZero().assignedAs != 0
}

// findAssignedAs finds out with which priority a task came to its worker: its present one, if the
// row has not changed since it was assigned, or since the worker was lost.
func (e *Engine) findAssignedAs(t *task) {
	row := e.row(t.ID)
	if row == nil || t.knowsAssignedAs() {
		return
	}
	last := row.AssignedAt
	if n := len(row.History); row.Status == model.StatusPending && n > 0 {
		last = row.History[n-1].EndedAt
	}
	if row.UpdatedAt == last {
		t.run.assignedAs = t.Priority()
	}
}

// unlistQueued notes that the task is no longer one that may be taken back.
func (e *Engine) unlistQueued(t *task) {
	if r := t.run; r.listedAs != 0 {
		r.worker.queued[r.listedAs-1]--
		e.listedQueued--
		r.listedAs = 0
		e.markDirty(r.worker)
	}
}

// endClaim notes that a task which is taken back no longer counts as such.
func (e *Engine) endClaim(t *task) {
	if r := t.run; r.claimed {
		r.claimed = false
		r.worker.claimed--
		e.index.EndClaim(r.claim)
		r.claim = placement.Claim{}
		e.markDirty(r.worker)
		if r.forIdle {
			r.forIdle = false
			e.movingToIdle--
		}
	}
}

// leaveWorker takes a task out of what its holder counts, before it is released.
func (e *Engine) leaveWorker(t *task) {
	e.endDoubt(t)
	e.unlistQueued(t)
	e.endClaim(t)
	if t.run.takenBack {
		t.run.worker.takingBack--
	}
}

// held is the number of tasks that the worker has or still has to stop.
func (w *worker) held() int { return len(w.tasks) + len(w.dropping) }

// lowestQueued returns the lowest priority of the tasks that may be taken back from the worker,
// 0 without one. It begins those that fit into its slots at any moment.
func (w *worker) lowestQueued() model.Priority {
	if w.held()-w.claimed <= w.TotalSlots {
		return 0
	}
	for i, n := range w.queued {
		if n > 0 {
			return model.Priority(i + 1)
		}
	}
	return 0
}

// takeBack takes the last task of the lowest priority back from the worker for one that waits,
// and reports whether there was one that the waiting one precedes.
func (e *Engine) takeBack(waiting *task, w *worker, claim placement.Claim) bool {
	lowest := w.lowestQueued()
	var last *task
	for _, t := range w.tasks { // in any order: the last by Seq is looked for
		if t.run.listedAs == lowest && t.run.listedAs != 0 && (last == nil || t.Seq > last.Seq) {
			last = t
		}
	}
	if last == nil || !e.index.Precedes(&waiting.Task, &last.Task) {
		return false
	}
	e.startTakingBack(last)
	last.run.claim = claim
	return true
}

// startTakingBack has the holder drop a task that it has not begun.
func (e *Engine) startTakingBack(t *task) {
	r := t.run
	e.unlistQueued(t)
	r.takenBack, r.takenBackAt, r.claimed = true, e.alive, true
	r.worker.claimed++
	r.worker.takingBack++
	e.sendDrop(r.worker.ID, t.ID, t.attempt, model.DropSuperseded)
	e.markDirty(r.worker)
}

// takeBackQueued has a draining worker drop what it has not begun: it would begin that as its
// slots become free, and the drain would take twice as long.
func (e *Engine) takeBackQueued(w *worker) {
	if !w.isDraining() || w.queued == [model.PriorityUrgent]int{} {
		return
	}
	for _, t := range w.tasksBySeq() {
		if t.run.listedAs != 0 {
			e.startTakingBack(t)
		}
	}
}

// doubtHolder notes that the holder of a task which is loaded as queued may have dropped it: that
// it is taken back is not stored. The holder would ignore it for as long as it remembers the drop.
func (e *Engine) doubtHolder(t *task) {
	t.run.isDoubtful = true
	t.run.worker.doubtful++
}

// endDoubt notes that the holder lists the task, or is no longer its holder.
func (e *Engine) endDoubt(t *task) {
	if r := t.run; r.isDoubtful {
		r.isDoubtful = false
		r.worker.doubtful--
	}
}

// finishTakingBack makes the tasks pending again that are taken back from the worker, or were
// before the load, and that its heartbeat does not list. That counts neither as a loss nor as a
// failure.
func (e *Engine) finishTakingBack(w *worker) {
	if w.takingBack == 0 && w.doubtful == 0 {
		return
	}
	for _, t := range w.tasksBySeq() {
		r := t.run
		switch {
		case r.lastHeartbeat == w.heartbeats:
		case r.takenBack && (!w.partial || r.takenBackAt.Add(e.grace()) <= e.alive):
			e.noteAttempt(t, model.OutcomeSuperseded, nil)
			e.requeue(t, nil, 0, false)
		case r.isDoubtful && !w.partial && w.Prefetch > 0:
			e.takeBackOmitted(t)
		}
	}
}

// takeBackOmitted makes a task pending again that a holder which takes tasks ahead has omitted
// although the answer to an earlier heartbeat, half an interval ago or more, has assigned it again.
func (e *Engine) takeBackOmitted(t *task) {
	r := t.run
	if r.omittedAt == 0 {
		r.omittedAt = max(e.alive, 1)
		return
	}
	if r.omittedAt.Add(e.cfg.HeartbeatInterval/2) <= e.alive {
		e.sendDrop(r.worker.ID, t.ID, t.attempt, model.DropSuperseded) // for an assignment that comes late
		e.noteAttempt(t, model.OutcomeSuperseded, nil)
		e.requeue(t, nil, 0, false)
	}
}

// fillIdleSlots takes tasks back that have waited at their holder for two heartbeat intervals
// while another worker has a free slot for them: no slot stays idle beside a queue. The holder may
// take no new work itself, such as one that has no slots any more.
func (e *Engine) fillIdleSlots() {
	if !e.connected || e.listedQueued == 0 || !e.index.HasIdleSlot() {
		return
	}
	workers := e.workersByName()
	slots := -e.movingToIdle
	for _, w := range workers {
		if w.accepts() {
			slots += max(w.slots()-w.held(), 0)
		}
	}
	slots = min(slots, maxTakenBack)
	for _, w := range workers {
		if slots <= 0 {
			return
		}
		if w.lowestQueued() == 0 {
			continue
		}
		for _, t := range e.idleQueued(w) {
			if slots <= 0 || w.lowestQueued() == 0 {
				break
			}
			if e.index.IsWanted(&t.Task) {
				e.startTakingBack(t)
				t.run.forIdle = true
				e.movingToIdle++
				slots--
			}
		}
	}
}

// idleQueued returns the tasks that the worker lists as queued, for long, and that a worker with
// a free slot may take; the last that came first.
func (e *Engine) idleQueued(w *worker) []*task {
	var tasks []*task
	for _, t := range w.tasks { // in any order: they are sorted
		if t.run.listedAs != 0 && e.steady.Sub(t.run.assignedAt) >= 2*e.cfg.HeartbeatInterval &&
			(e.index.IsWanted(&t.Task) || e.hasExpiredAvoidance(t)) {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, t := range tasks { // an avoidance ends only here while the task has a holder
		if e.hasExpiredAvoidance(t) {
			e.removeExpiredAvoidances(t)
			e.constrain(t)
		}
	}
	return tasks
}
