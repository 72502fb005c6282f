package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// unloadableTask is a live task that the engine could not load. It is counted and shown
// with its reason, it is not placed, and its client can cancel it.
type unloadableTask struct {
	status  model.Status
	attempt int64
	reason  string
}

// AddUnloadable notes a task that LoadTask cannot load, or that has damage: one bad row
// must not keep the others from being loaded.
func (e *Engine) AddUnloadable(row *model.Task) {
	if e.unloadable == nil {
		e.unloadable = make(map[string]unloadableTask)
	}
	reason := reasonUnloadable
	if row.Damage != "" {
		reason = row.DamageReason()
	}
	e.unloadable[row.ID] = unloadableTask{row.Status, row.Attempt, reason}
}

// SetAside does as AddUnloadable does with a task that was just assigned: Live has not read the columns with
// the damage of its row. Its worker cannot be told of it, so the slot would wait for a download
// that never begins. It returns false if the attempt has begun or ended. Call it after Plan, for
// a row that is committed.
func (e *Engine) SetAside(row *model.Task) bool {
	t := e.tasks[row.ID]
	if t == nil || t.run == nil || t.attempt != row.Attempt || t.status() != model.StatusQueued {
		return false
	}
	e.release(t, false)
	e.takeOut(t)
	e.AddUnloadable(row)
	return true
}

func (e *Engine) isUnloadable(id string) bool {
	_, ok := e.unloadable[id]
	return ok
}

// cancelUnloadable ends a task that could not be loaded. Its row is all that is known of
// it.
func (e *Engine) cancelUnloadable(row *model.Task) Answer {
	delete(e.unloadable, row.ID)
	state := model.TaskState{
		Status: model.StatusCanceled, LastWorkerID: row.LastWorkerID, UpdatedAt: e.now, FinishedAt: e.now,
		Failures: row.Failures, Losses: row.Losses,
	}
	state.History = row.History
	if row.WorkerID != "" {
		state.LastWorkerID = row.WorkerID
		state.History = model.AppendAttempt(row.History, model.PastAttempt{
			Attempt: row.Attempt, WorkerID: row.WorkerID, AssignedAt: row.AssignedAt, EndedAt: e.now, Outcome: model.OutcomeCanceled,
		})
		e.sendDrop(row.WorkerID, row.ID, row.Attempt, model.DropCanceled)
	}
	e.counts[row.Status]--
	e.counts[model.StatusCanceled]++
	e.addChange(&model.TaskChange{
		ID: row.ID, From: row.Status, State: state,
		Set: model.SetStatus | model.SetWorker | model.SetLastWorker | model.SetFailures | model.SetRetryAt | model.SetError | model.SetResult | model.SetFinished | model.SetHistory,
	})
	e.turn.plan.Tasks = append(e.turn.plan.Tasks, model.TaskEvent{
		ID: row.ID, Client: row.Client, Status: model.StatusCanceled, WorkerID: state.LastWorkerID, Attempt: row.Attempt, At: e.now, Traceparent: row.Traceparent,
	})
	e.addFact(Fact{Kind: FactFinished, Status: model.StatusCanceled, Client: row.Client, Took: max(e.now.Sub(row.CreatedAt), 0), Trace: row.Traceparent})
	return Answer{TaskID: row.ID}
}
