package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// asideTask is a live task that the engine could not load. It is counted and shown
// with its reason, it is not placed, and its client can cancel it.
type asideTask struct {
	status  model.Status
	attempt int64
}

// SetAside notes, in the place of LoadTask, a task that cannot be loaded. One bad
// row must not keep the others from being loaded.
func (e *Engine) SetAside(row *model.Task) {
	if e.aside == nil {
		e.aside = make(map[string]asideTask)
	}
	e.aside[row.ID] = asideTask{row.Status, row.Attempt}
	e.seq = max(e.seq, row.Seq)
}

func (e *Engine) isAside(id string) bool {
	_, ok := e.aside[id]
	return ok
}

// cancelAside ends a task that could not be loaded. Its row is all that is known of
// it.
func (e *Engine) cancelAside(row *model.Task) Answer {
	delete(e.aside, row.ID)
	state := model.TaskState{
		Status: model.StatusCanceled, LastWorkerID: row.LastWorkerID, UpdatedAt: e.now, FinishedAt: e.now,
		Failures: row.Failures, Losses: row.Losses,
	}
	if row.WorkerID != "" {
		state.LastWorkerID = row.WorkerID
		e.drop(row.WorkerID, row.ID, row.Attempt, model.DropCanceled)
	}
	e.counts[row.Status]--
	e.counts[model.StatusCanceled]++
	e.write(&model.TaskChange{
		ID: row.ID, From: row.Status, State: state,
		Set: model.SetStatus | model.SetWorker | model.SetLastWorker | model.SetFailures | model.SetRetryAt | model.SetError | model.SetResult | model.SetFinished,
	})
	e.turn.plan.Tasks = append(e.turn.plan.Tasks, model.TaskEvent{
		ID: row.ID, Client: row.Client, Status: model.StatusCanceled, WorkerID: state.LastWorkerID, Attempt: row.Attempt, At: e.now,
	})
	return Answer{TaskID: row.ID}
}
