package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Pause holds a task back: its slot is freed, its bytes are kept. A task that is paused
// already is answered in the same way.
type Pause struct {
	Client string
	ID     string
}

// Traits implements [Event].
func (p Pause) Traits() Traits { return Traits{Client: p.Client, Task: p.ID} }

func (p Pause) reads(_ *Engine, ids []string) []string { return append(ids, p.ID) }

// decide pauses a task for its client. The worker that holds it gets a drop, keeps the
// partial file, and keeps the slot until it has stopped.
func (p Pause) decide(e *Engine) Answer {
	row, err := e.ownTask(p.Client, p.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[p.ID]
	switch {
	case row.Status == model.StatusPaused:
		return Answer{TaskID: p.ID}
	case t == nil || !t.status().CanBecome(model.StatusPaused):
		return conflict(row, "paused")
	}
	set, state := model.SetStatus|model.SetWorker|model.SetRetryAt, model.TaskState{}
	if t.run != nil {
		state = t.run.progress.final()
		state.LastWorkerID = t.workerID()
		set |= model.SetProgress | model.SetGID | model.SetLastWorker
		e.noteAttempt(t, model.OutcomePaused, nil)
		e.sendDrop(t.workerID(), t.ID, t.attempt, model.DropPaused)
		e.release(t, true)
	}
	t.reclaimable = false
	if x := t.extra; x != nil {
		x.retryAt, x.boundTo, x.until, x.avoidances = 0, "", 0, nil
		e.constrain(t)
	}
	state.Status = model.StatusPaused
	e.changeState(t, set, state)
	e.place(t)
	return Answer{TaskID: p.ID}
}
