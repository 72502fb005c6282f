package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// tick does what has become due. It costs what is due, not what exists.
func (e *Engine) tick() {
	for e.silent.len() > 0 && e.silent.top().silentAt <= e.alive {
		w := e.silent.top()
		if w.lost {
			e.removeWorker(w)
			continue
		}
		e.lose(w, true)
	}
	for e.watch.len() > 0 && e.watch.top().checkAt <= e.alive {
		e.expire(e.watch.top())
	}
	for e.due.len() > 0 && e.due.top().dueAt() <= e.now {
		e.queue.push(e.due.pop())
	}
	e.flushProgress()
}

// grace is how long a worker may not list what it was given.
func (e *Engine) grace() model.Duration { return 2*e.cfg.HeartbeatInterval + model.Seconds(5) }

// awaitListing starts the grace time within which the holder must list t.
func (e *Engine) awaitListing(t *task) {
	t.run.listAt = e.alive.Add(e.grace())
	e.check(t)
}

// check puts an assigned task to the next time at which it must be looked at.
func (e *Engine) check(t *task) {
	at := t.run.listAt
	if d := t.run.deadline; d > 0 && (at == 0 || d < at) {
		at = d
	}
	if at == 0 {
		e.watch.remove(t)
		return
	}
	t.checkAt = at
	e.watch.fix(t)
}

// expire looks at a task whose time has come: its exclusion, its attempt, or the
// patience with a worker that does not list it.
func (e *Engine) expire(t *task) {
	switch r := t.run; {
	case r == nil:
		e.watch.remove(t)
		e.unqueue(t)
		e.reset(t, "")
		e.enqueue(t)
	case r.deadline > 0 && r.deadline <= e.alive:
		w := r.worker
		e.drop(w.ID, t.id, t.attempt, model.DropSuperseded)
		w.dropping[t.id] = t.attempt
		e.fail(t, &model.TaskError{
			Code: 2, Class: model.ClassRetryable,
			Message: "the attempt took longer than timeout " + t.timeout.String(),
		})
	case !r.resent:
		e.awaitListing(t)
		r.resent = true
		e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
	default:
		w := r.worker
		e.note(t.id, w.ID, "the worker does not list the assignment: taken back")
		e.requeue(t, nil, 0, w.ID)
	}
}

// flushProgress writes progress to the store, the oldest first, at a bounded
// rate.
func (e *Engine) flushProgress() {
	gap := e.now - e.flushed
	e.flushed = e.now
	budget := int(min(gap, 10_000)) * progressRate / 1000
	n := 0
	for n < len(e.dirty) && budget > 0 {
		t := e.dirty[n]
		n++
		if t.run == nil || !t.run.dirty {
			continue // ended, or given to another, in the meantime
		}
		t.run.dirty = false
		e.change(t, model.SetGID|model.SetProgress, t.run.progress)
		budget--
	}
	e.dirty = append(e.dirty[:0], e.dirty[n:]...)
}
