package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Update changes a task that is not completed. A failed or canceled one keeps its
// status until a [Retry].
type Update struct {
	Client string
	ID     string
	Change *model.TaskUpdate // validated
}

// Traits implements [Event].
func (u Update) Traits() Traits {
	t := Traits{Client: u.Client, Task: u.ID}
	if m := u.Change.Mirrors; m != nil {
		t.Bytes += mirrorBytes(*m)
	}
	if o := u.Change.Options; o != nil {
		t.Bytes += optionBytes(*o)
	}
	return t
}

func (u Update) reads(_ *Engine, ids []string) []string { return append(ids, u.ID) }

// decide changes the task. If that changes the source or the options of a download in
// progress, the task gets a new attempt at once, on the worker that has its bytes.
func (u Update) decide(e *Engine) Answer {
	row, err := e.wholeTask(u.Client, u.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[u.ID]
	if t == nil {
		return e.updateEnded(row, u.Change)
	}
	next := *row
	if err := u.Change.Apply(&next.TaskSpec); err != nil {
		return Answer{Err: err.For(u.ID)}
	}
	n := placement.RequirementsOf(&next.TaskSpec)
	if base := t.Requirements(); !n.Equal(&base) {
		if err := e.checkSetLimit(&next.TaskSpec); err != nil {
			return Answer{Err: err.For(u.ID)}
		}
	}
	next.UpdatedAt = e.now
	interrupts := u.Change.Interrupts()
	stays := t.run != nil && (!interrupts || !t.MustWait(next.URL) && e.index.IsMetBy(n, &t.run.worker.Capabilities))
	if interrupts && t.status() == model.StatusPending {
		next.RetryAt = 0 // the failure was of another source
	}
	if interrupts && t.extra != nil {
		t.extra.suspects = nil
		t.extra.avoidances = slices.DeleteFunc(t.extra.avoidances, func(a avoidance) bool { return a.isDoubtful })
	}
	if interrupts && !stays && !t.isNew() {
		// Earlier attempts had another source: their reports are refused. No worker has the new one.
		next.Attempt, next.AssignedAt = t.maxSeenAttempt()+1, 0
	}
	e.addChange(&model.TaskChange{ID: u.ID, From: t.status(), Put: &next})
	e.applyUpdate(t, &next)
	switch {
	case t.run != nil && interrupts:
		e.restartAttempt(t, stays, next.Attempt)
	case t.attempt != next.Attempt:
		t.attempt, t.reclaimable = next.Attempt, false
	}
	return Answer{TaskID: u.ID}
}

// updateEnded changes what a failed or canceled task asks for. It keeps its status:
// only a retry makes it pending.
func (e *Engine) updateEnded(row *model.Task, change *model.TaskUpdate) Answer {
	if row.Status != model.StatusFailed && row.Status != model.StatusCanceled {
		return conflict(row, "updated")
	}
	next := *row
	if err := e.changeEnded(&next, change); err != nil {
		return Answer{Err: err}
	}
	next.UpdatedAt = e.now
	e.addChange(&model.TaskChange{ID: row.ID, From: row.Status, Put: &next})
	return Answer{TaskID: row.ID}
}

// changeEnded applies a change to the row of a task that has ended. Where the next
// attempt would fetch something else, the attempt is raised, so that no late report
// about the old source counts for the new one.
func (e *Engine) changeEnded(next *model.Task, change *model.TaskUpdate) *model.Error {
	if err := change.Apply(&next.TaskSpec); err != nil {
		return err.For(next.ID)
	}
	if change.Interrupts() && next.Attempt > 0 {
		highest := next.Attempt
		if ended := e.turn.ended[next.ID]; ended != nil { // no row has what a worker has named
			highest = max(highest, ended.maxSeenAttempt())
		}
		next.Attempt, next.AssignedAt = highest+1, 0
	}
	return nil
}

// applyUpdate brings the engine's record of a task in line with an updated row.
func (e *Engine) applyUpdate(t *task, row *model.Task) {
	x := t.ensureExtra()
	x.notBefore, x.retryAt = row.NotBefore, row.RetryAt
	old := t.Host()
	if e.index.Change(&t.Task, &row.TaskSpec, row.Priority) {
		x.asked = false
	}
	if t.run != nil && t.Host() != old {
		e.index.EnterHost(t.Host())
		e.index.LeaveHost(old)
	}
	if t.run != nil && t.run.listedAs != 0 && t.run.listedAs != t.Priority() {
		e.startTakingBack(t) // its holder would begin it by the former priority
	}
	e.place(t)
}

// restartAttempt gives an assigned task a new attempt: on the same worker, which keeps the
// partial file, if the task stays there; otherwise the task waits with the given
// attempt.
func (e *Engine) restartAttempt(t *task, stays bool, attempt int64) {
	e.noteAttempt(t, model.OutcomeSuperseded, nil)
	state := t.run.progress.final()
	w := t.run.worker
	if !stays {
		e.sendDrop(w.ID, t.ID, t.attempt, model.DropSuperseded)
	}
	e.release(t, !stays)
	t.attempt = attempt
	state.Status, state.LastWorkerID = model.StatusPending, w.ID
	e.changeState(t, model.SetStatus|model.SetWorker|model.SetLastWorker|model.SetProgress, state)
	if stays {
		e.assign(w, t)
		return
	}
	e.place(t)
}
