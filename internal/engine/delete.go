package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Delete forgets a task that has ended; with Files its worker removes the files.
type Delete struct {
	Client string
	ID     string
	Files  bool
}

// Traits implements [Event].
func (d Delete) Traits() Traits { return Traits{Client: d.Client, Task: d.ID} }

func (d Delete) reads(_ *Engine, ids []string) []string { return append(ids, d.ID) }

// decide deletes the row of a task that has ended; its id stays taken for a while.
func (d Delete) decide(e *Engine) Answer {
	row, err := e.ownTask(d.Client, d.ID)
	switch {
	case err != nil:
		return Answer{Err: err}
	case !row.Status.Terminal():
		return conflict(row, "deleted: cancel it first")
	case e.turn.lookup.Tasks[d.ID] == nil:
		// It has no row yet, neither to show nor to make a tombstone of.
		return Answer{Err: model.Errorf(model.CodeUnavailable, "the task %s was made a moment ago: try again", d.ID).For(d.ID)}
	}
	if d.Files {
		if err := e.eraseFiles(row); err != nil {
			return Answer{Err: err}
		}
	}
	e.deleteRow(row.ID, row.Status)
	return Answer{TaskID: d.ID}
}

// eraseFiles orders the worker that has the files of a task to remove them.
func (e *Engine) eraseFiles(row *model.Task) *model.Error {
	if row.LastWorkerID == "" {
		return nil
	}
	if w := e.workers[row.LastWorkerID]; w == nil || w.lost {
		return model.Errorf(model.CodeConflict,
			"files: the worker %s, which has the files of the task %s, is not online", row.LastWorkerID, row.ID).For(row.ID)
	}
	e.requestErase(row.LastWorkerID, model.Drop{
		ID: row.ID, Attempt: row.Attempt, Reason: model.DropDeleted, Folder: row.Folder, Result: row.Result,
	})
	return nil
}

// reuseFence is the least time for which a deleted task leaves a tombstone, also if its id is free
// again before: a worker remembers an attempt for ten minutes, and its report may come late. Until
// then a task that reuses the id gets attempts of its own, see reusedAttempt.
const reuseFence = model.Duration(15 * 60 * 1_000_000_000)

// deleteRow deletes the row of a task that has ended, and leaves a tombstone.
func (e *Engine) deleteRow(id string, from model.Status) {
	e.counts[from]--
	e.addChange(&model.TaskChange{ID: id, From: from, Delete: true, Keep: e.now.Add(max(e.cfg.RetainIDs, reuseFence))})
}

// freeAt is when the id of a tombstone is free again. The tombstone may last longer.
func (e *Engine) freeAt(until model.Time) model.Time {
	return until.Add(-max(reuseFence-e.cfg.RetainIDs, 0))
}
