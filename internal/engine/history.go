package engine

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// attemptEnd is an attempt that ended in this turn.
type attemptEnd struct {
	task string
	seq  int64 // of the task, whose id another one may have got since
	model.PastAttempt
}

// endAttempt counts an attempt that ends, which its worker still has, and notes it for
// the history of its task. why is nil where the outcome says all. A completion is only
// counted: the row of a completed task says the same, see [model.Task.Attempts].
func (e *Engine) endAttempt(t *task, o model.Outcome, why *model.TaskError) {
	e.addFact(Fact{Kind: FactAttemptEnded, Outcome: o, Worker: t.run.worker.ID, Took: e.steady.Sub(t.run.assignedAt), Trace: t.trace()})
	if o != model.OutcomeCompleted {
		e.noteAttempt(t, o, why)
	}
}

// noteAttempt notes an attempt that ends for the history of its task. An attempt that a
// client ended is not counted, so that its verb calls this and not endAttempt.
func (e *Engine) noteAttempt(t *task, o model.Outcome, why *model.TaskError) {
	a := model.PastAttempt{Attempt: t.attempt, WorkerID: t.run.worker.ID, EndedAt: e.now, Outcome: o, Error: why}
	if row := e.row(t.ID); row != nil {
		a.AssignedAt = assignedAt(row, t.attempt)
	}
	e.turn.attempts = append(e.turn.attempts, attemptEnd{t.ID, t.Seq, a})
}

// assignedAt returns when an attempt was assigned, 0 if the row has another attempt.
func assignedAt(row *model.Task, attempt int64) model.Time {
	if row.Attempt != attempt {
		return 0
	}
	return row.AssignedAt
}

// Unread returns the ids of the tasks whose histories become longer in this turn and
// whose rows have not been asked for: see [Engine.AddRows].
func (e *Engine) Unread() []string {
	var ids []string
	for i := range e.turn.attempts {
		if id := e.turn.attempts[i].task; e.turn.lookup.Tasks[id] == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// AddRows adds rows of the store to those of Begin.
func (e *Engine) AddRows(rows map[string]*model.Task) {
	if e.turn.lookup.Tasks == nil {
		e.turn.lookup.Tasks = make(map[string]*model.Task, len(rows))
	}
	maps.Copy(e.turn.lookup.Tasks, rows)
}

// forgetAttempts removes the attempts of this turn of a task that an import replaces: the
// row of the import has a history of its own.
func (e *Engine) forgetAttempts(id string) {
	e.turn.attempts = slices.DeleteFunc(e.turn.attempts, func(a attemptEnd) bool { return a.task == id })
}

// writeHistories puts the attempts that ended into the changes of their tasks.
func (e *Engine) writeHistories() {
	for i := range e.turn.attempts {
		end := &e.turn.attempts[i]
		row := e.row(end.task)
		at, changed := e.turn.changed[end.task]
		if !changed || row == nil || row.Seq != end.seq {
			continue // deleted since
		}
		switch before := e.turn.lookup.Tasks[end.task]; {
		case end.AssignedAt != 0 || before == nil:
		case before.Attempt < end.Attempt: // assigned in this turn
			end.AssignedAt = e.now
		default:
			end.AssignedAt = assignedAt(before, end.Attempt)
		}
		e.turn.plan.Batch.Tasks[at].Fold(&model.TaskChange{
			ID: end.task, Set: model.SetHistory,
			State: model.TaskState{History: model.AppendAttempt(row.History, end.PastAttempt)},
		})
	}
}

// failureOutcome returns the outcome of an attempt that failed.
func failureOutcome(class model.Class) model.Outcome {
	switch class {
	case model.ClassPermanent:
		return model.OutcomePermanent
	case model.ClassWorker:
		return model.OutcomeWorker
	}
	return model.OutcomeRetryable
}
