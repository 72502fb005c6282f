package engine

import (
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
	e.unlistQueued(t)
	r.listedAs = t.Priority()
	r.worker.queued[r.listedAs-1]++
	e.markDirty(r.worker)
}

// unlistQueued notes that the task is no longer one that may be taken back.
func (e *Engine) unlistQueued(t *task) {
	if r := t.run; r.listedAs != 0 {
		r.worker.queued[r.listedAs-1]--
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

// finishTakingBack makes the tasks pending again that are taken back from the worker and that
// its heartbeat does not list. That counts neither as a loss nor as a failure.
func (e *Engine) finishTakingBack(w *worker) {
	if w.takingBack == 0 {
		return
	}
	for _, t := range w.tasksBySeq() {
		if r := t.run; r.takenBack && r.lastHeartbeat != w.heartbeats && (!w.partial || r.takenBackAt.Add(e.grace()) <= e.alive) {
			e.noteAttempt(t, model.OutcomeSuperseded, nil)
			e.requeue(t, nil, 0, false)
		}
	}
}

// fillIdleSlots takes tasks back that have waited at their holder for two heartbeat intervals
// while another worker has a free slot for them: no slot stays idle beside a queue.
func (e *Engine) fillIdleSlots() {
	if !e.connected || !e.index.HasIdleSlot() {
		return
	}
	workers := e.workersByName()
	slots := -e.movingToIdle
	for _, w := range workers {
		if w.accepts() {
			slots += max(w.TotalSlots-w.held(), 0)
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
		for _, t := range slices.Backward(w.tasksBySeq()) {
			waited := e.steady.Sub(t.run.assignedAt) >= 2*e.cfg.HeartbeatInterval
			if slots <= 0 || w.lowestQueued() == 0 {
				break
			}
			if t.run.listedAs != 0 && waited && e.index.IsWanted(&t.Task) {
				e.startTakingBack(t)
				t.run.forIdle = true
				e.movingToIdle++
				slots--
			}
		}
	}
}
