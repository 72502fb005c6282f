package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// ownTask returns the row of a task on which its client, or an operator, acts.
func (e *Engine) ownTask(client, id string) (*model.Task, *model.Error) {
	row := e.row(id)
	if row == nil || client != "" && row.Client != client {
		return nil, model.Errorf(model.CodeNotFound, "there is no task %s", id).For(id)
	}
	return row, nil
}

// wholeTask is ownTask for what needs every column of the row.
func (e *Engine) wholeTask(client, id string) (*model.Task, *model.Error) {
	row, err := e.ownTask(client, id)
	if err == nil && row.Damage != "" {
		return nil, model.Errorf(model.CodeConflict, "the task %s %s", id, row.DamageReason()).For(id)
	}
	return row, err
}

// conflict is the answer to what the state of a task does not allow.
func conflict(row *model.Task, be string) Answer {
	return Answer{Err: model.Errorf(model.CodeConflict, "the task %s is %s and cannot be %s", row.ID, row.Status, be).For(row.ID)}
}
