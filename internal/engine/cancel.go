package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Cancel ends a task. A task that is canceled already is answered in the same way.
type Cancel struct {
	Client string
	ID     string
}

// Traits implements [Event].
func (c Cancel) Traits() Traits { return Traits{Client: c.Client, Task: c.ID} }

func (c Cancel) reads(_ *Engine, ids []string) []string { return append(ids, c.ID) }

// decide ends a task for its client. The worker that holds it gets a drop, and keeps the
// slot until it has stopped; a worker with a partial file deletes that file.
func (c Cancel) decide(e *Engine) Answer {
	row, err := e.ownTask(c.Client, c.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[c.ID]
	switch {
	case row.Status == model.StatusCanceled:
		return Answer{TaskID: c.ID}
	case e.isUnloadable(c.ID):
		return e.cancelUnloadable(row)
	case t == nil || !t.status().CanBecome(model.StatusCanceled):
		return conflict(row, "canceled")
	}
	if t.run != nil {
		e.noteAttempt(t, model.OutcomeCanceled, nil)
		e.sendDrop(t.workerID(), t.ID, t.attempt, model.DropCanceled)
	} else if x := t.extraOrZero(); x.bytes > 0 {
		e.requestErase(x.lastWorker, model.Drop{ID: t.ID, Attempt: t.attempt, Reason: model.DropCanceled})
	}
	e.endTask(t, model.StatusCanceled, nil, nil)
	return Answer{TaskID: c.ID}
}
