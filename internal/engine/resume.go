package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Resume resumes a paused task.
type Resume struct {
	Client string
	ID     string
}

// Traits implements [Event].
func (r Resume) Traits() Traits { return Traits{Client: r.Client, Task: r.ID} }

func (r Resume) reads(_ *Engine, ids []string) []string { return append(ids, r.ID) }

// decide makes a paused task pending, preferably on the worker that holds the partial file.
func (r Resume) decide(e *Engine) Answer {
	row, err := e.ownTask(r.Client, r.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[r.ID]
	if t == nil || t.status() != model.StatusPaused {
		return conflict(row, "resumed: only a paused one can")
	}
	e.changeState(t, model.SetStatus, model.TaskState{Status: model.StatusPending})
	e.place(t)
	return Answer{TaskID: r.ID}
}
