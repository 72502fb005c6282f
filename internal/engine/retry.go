package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Retry makes a failed or canceled task pending again. A URL replaces that of the task; an
// empty one changes nothing.
type Retry struct {
	Client string
	ID     string
	URL    string
	// MaxSize bounds the task, see [model.TaskSpec.CheckSize].
	MaxSize int
}

// Traits implements [Event].
func (r Retry) Traits() Traits { return Traits{Client: r.Client, Task: r.ID} }

func (r Retry) reads(_ *Engine, ids []string) []string { return append(ids, r.ID) }

// decide gives a failed or canceled task all its attempts again. The partial file of a
// canceled task was deleted, and late reports about it are refused; a failed task goes
// preferably to the worker that holds its partial file.
func (r Retry) decide(e *Engine) Answer {
	row, err := e.wholeTask(r.Client, r.ID)
	if err != nil {
		return Answer{Err: err}
	}
	if row.Status != model.StatusFailed && row.Status != model.StatusCanceled {
		return conflict(row, "retried: only a failed or canceled one can")
	}
	next := *row
	if r.URL != "" {
		if err := e.changeEnded(&next, &model.TaskUpdate{URL: &r.URL}); err != nil {
			return Answer{Err: err}
		}
	}
	if err := next.CheckSize(r.MaxSize); err != nil {
		return Answer{Err: err.For(r.ID)}
	}
	if err := e.checkLimits(next.Client, &next.TaskSpec); err != nil {
		return Answer{Err: err.For(r.ID)}
	}
	set := model.SetStatus | model.SetFailures | model.SetRetryAt | model.SetFinished
	next.Failures, next.Losses, next.RetryAt, next.FinishedAt = 0, 0, 0, 0
	if row.Status == model.StatusCanceled {
		set |= model.SetLastWorker | model.SetProgress | model.SetGID
		next.LastWorkerID, next.GID = "", ""
		next.Progress, next.CompletedLength, next.TotalLength = 0, 0, 0
	}
	if next.Error != nil && next.Error.Waits > 0 {
		why := *next.Error
		why.Waits = 0
		set, next.Error = set|model.SetError, &why
	}
	next.Status, next.UpdatedAt = model.StatusPending, e.now
	e.counts[row.Status]--
	e.counts[model.StatusPending]++
	change := model.TaskChange{ID: r.ID, From: row.Status, Set: set, State: next.TaskState}
	if r.URL != "" {
		change = model.TaskChange{ID: r.ID, From: row.Status, Put: &next}
	}
	e.addChange(&change)
	ended := e.turn.ended[r.ID]
	delete(e.turn.ended, r.ID)
	t := e.load(&next, false)
	t.reclaimable = false
	if ended != nil && ended.maxSeenAttempt() > t.attempt { // no row has what a worker has named
		t.ensureExtra().maxSeen = ended.maxSeenAttempt()
	}
	e.emitStatus(t, &model.TaskState{})
	return Answer{TaskID: r.ID}
}
