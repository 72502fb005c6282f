package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Tick lets time pass: workers are lost, backoffs end. It is due each second.
type Tick struct{}

// Traits implements [Event].
func (Tick) Traits() Traits { return Traits{} }

func (Tick) reads(_ *Engine, ids []string) []string { return ids }

// decide handles what is due. Its cost depends on what is due, not on what exists.
func (Tick) decide(e *Engine) Answer {
	for e.silent.Len() > 0 && e.silent.Top().silentAt <= e.alive {
		w := e.silent.Top()
		if e.importing && !w.confirmed && !w.lost {
			e.resetTimeout(w) // it may come with the rest of what is imported
			continue
		}
		if w.lost {
			e.removeWorker(w)
			continue
		}
		e.markLost(w, true)
	}
	for e.watch.Len() > 0 && e.watch.Top().checkAt <= e.alive {
		e.checkWatched(e.watch.Top())
	}
	e.index.EndCooldowns(e.steady)
	for t := e.index.NextDue(e.now); t != nil; t = e.index.NextDue(e.now) {
		e.place(e.tasks[t.ID])
	}
	e.fillIdleSlots()
	e.flushProgress()
	return Answer{}
}

// grace is how long a worker may not list what it was given.
func (e *Engine) grace() model.Duration { return 2*e.cfg.HeartbeatInterval + model.Seconds(5) }

// requireListing starts the grace time within which the holder must list t.
func (e *Engine) requireListing(t *task) {
	t.run.listBy = e.alive.Add(e.grace())
	e.updateWatch(t)
}

// checkWatched looks at a task at the end of an avoidance, of its attempt, or of the grace
// time of a worker that does not list it. Nothing is taken back from a worker that
// lists only a part of its tasks.
func (e *Engine) checkWatched(t *task) {
	deadline := t.extraOrZero().deadline
	switch r := t.run; {
	case r == nil:
		e.endWait(t)
	case !r.worker.confirmed: // it gets the time for a heartbeat first; without one it is lost
		if deadline > 0 {
			t.extra.deadline = max(deadline, e.alive.Add(e.grace()))
		}
		e.requireListing(t)
	case deadline > 0 && deadline <= e.alive:
		w := r.worker
		e.sendDrop(w.ID, t.ID, t.attempt, model.DropSuperseded)
		e.startDrop(w, t.ID, dropping{attempt: t.attempt, host: t.Host()})
		why := &model.TaskError{
			Code: 2, Class: model.ClassRetryable,
			Message: "the attempt took longer than timeout " + t.extra.timeout.String(),
		}
		e.endAttempt(t, model.OutcomeTimeout, why)
		e.failAttempt(t, why, 0)
	case !r.isResent || r.worker.partial:
		e.requireListing(t)
		r.isResent = true
		e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
	default:
		e.addNote(t.ID, r.worker.ID, "the worker does not list the assignment: taken back")
		e.endAttempt(t, model.OutcomeLost, nil)
		e.requeue(t, nil, 0, true)
	}
}

// flushProgress writes progress to the store, the oldest first, at a bounded
// rate.
func (e *Engine) flushProgress() {
	gap := e.steady - e.flushedAt
	e.flushedAt = e.steady
	budget := int(min(gap, 10_000)) * progressRate / 1000
	n := 0
	for n < len(e.dirtyProgress) && budget > 0 {
		t := e.dirtyProgress[n]
		n++
		if t.run == nil || !t.run.dirty {
			continue // ended, or given to another, in the meantime
		}
		t.run.dirty = false
		e.changeState(t, model.SetGID|model.SetProgress, t.run.progress.state())
		budget--
	}
	e.dirtyProgress = slices.Delete(e.dirtyProgress, 0, n) // for the garbage collector
}
