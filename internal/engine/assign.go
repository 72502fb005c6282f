package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// placePending assigns the pending tasks that can be placed; it reports whether there may
// be more.
func (e *Engine) placePending() (more bool) {
	if !e.connected {
		return false // no worker would receive it
	}
	return e.index.Place(maxPlacements, func(t *placement.Task, w *placement.Worker) {
		holder := e.workers[w.ID]
		holder.faults.tried, holder.faults.triedAt = true, e.alive // before it counts its slots
		e.assign(holder, e.tasks[t.ID])
	}, func(waiting *placement.Task, w *placement.Worker, claim placement.Claim) bool {
		return e.takeBack(e.tasks[waiting.ID], e.workers[w.ID], claim)
	})
}

// assign gives a pending task, taken from the queue, to a worker under a new
// attempt.
func (e *Engine) assign(w *worker, t *task) {
	e.countFirstAssignment(t)
	t.attempt = t.maxSeenAttempt() + 1
	if x := t.extra; x != nil {
		x.retryAt, x.notBefore, x.asked = 0, 0, false
		if x.deadline = 0; x.timeout > 0 {
			x.deadline = e.alive.Add(x.timeout)
		}
	}
	e.index.Assigned(&t.Task, &w.place)
	e.hold(w, t)
	// The files of a deleted task that had the id may be those of this one soon.
	w.erasures = slices.DeleteFunc(w.erasures, func(x erasure) bool { return x.ID == t.ID && x.Reason == model.DropDeleted })
	t.run.isUnconfirmed = true
	e.requireListing(t)
	e.changeState(t, model.SetStatus|model.SetWorker|model.SetAttempt|model.SetRetryAt, model.TaskState{
		Status: model.StatusQueued, WorkerID: w.ID, Attempt: t.attempt, AssignedAt: e.now,
	})
	e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
}

func (e *Engine) assignment(t *task) Assign {
	a := Assign{Worker: t.run.worker.ID, Task: t.ID, Attempt: t.attempt}
	if deadline := t.extraOrZero().deadline; deadline > 0 {
		a.TimeoutLeft = max(deadline.Sub(e.alive), model.Seconds(0.001))
	}
	return a
}
