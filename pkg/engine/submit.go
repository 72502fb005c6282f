package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// submit makes a task, or finds the one that the same client has asked for under
// the same id.
func (e *Engine) submit(s Submit) Answer {
	id := s.Spec.ID
	if s.Chosen {
		if row := e.row(id); row != nil {
			return resubmitted(row, &s)
		}
	}
	if n := e.counts[model.StatusPending]; n >= e.cfg.MaxPending {
		return Answer{Err: model.Errorf(model.CodeTooMany, "limits.max_pending: %d tasks are pending already", n).For(id)}
	}
	spec := *s.Spec
	spec.Normalize(e.cfg.MaxAttempts)
	n := needsOf(&spec)
	if e.queue.sets[n.key()] == nil && e.queue.plain >= e.cfg.RequirementSets {
		return Answer{Err: model.Errorf(model.CodeTooMany,
			"limits.requirement_sets: the live tasks have %d different sets of tags, folder and protocol already", e.queue.plain).For(id)}
	}
	e.seq++
	row := &model.Task{
		TaskSpec: spec, Client: s.Client, SpecHash: s.Hash, Seq: e.seq, CreatedAt: e.now,
		TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: e.now},
	}
	t := e.newTask(row)
	t.setStatus(model.StatusPending)
	e.tasks[id] = t
	e.counts[model.StatusPending]++
	e.write(&model.TaskChange{ID: id, Put: row})
	e.turn.plan.Tasks = append(e.turn.plan.Tasks, model.TaskEvent{
		ID: id, Client: s.Client, Status: model.StatusPending, At: e.now,
	})
	e.enqueue(t)
	return Answer{Task: id}
}

func resubmitted(row *model.Task, s *Submit) Answer {
	switch {
	case row.Client != s.Client:
		return Answer{Err: model.Errorf(model.CodeConflict, "id: the task %s belongs to another client", row.ID).For(row.ID)}
	case row.SpecHash != s.Hash:
		return Answer{Err: model.Errorf(model.CodeConflict, "id: the task %s exists with another spec; it is %s", row.ID, row.Status).For(row.ID)}
	}
	return Answer{Task: row.ID}
}

// cancel ends a task for its client. The worker that holds it is told, and keeps
// the slot until it has stopped.
func (e *Engine) cancel(c Cancel) Answer {
	row := e.row(c.ID)
	if row == nil || c.Client != "" && row.Client != c.Client {
		return Answer{Err: notFound(c.ID)}
	}
	t := e.tasks[c.ID]
	switch {
	case row.Status == model.StatusCanceled:
		return Answer{Task: c.ID}
	case t == nil || !t.status().CanBecome(model.StatusCanceled):
		return Answer{Err: model.Errorf(model.CodeConflict, "the task %s is %s and cannot be canceled", c.ID, row.Status).For(c.ID)}
	}
	if t.run != nil {
		e.drop(t.workerID(), t.id, t.attempt, model.DropCanceled)
	}
	e.finish(t, model.StatusCanceled, nil, nil)
	return Answer{Task: c.ID}
}

func notFound(id string) *model.Error {
	return model.Errorf(model.CodeNotFound, "there is no task %s", id).For(id)
}
