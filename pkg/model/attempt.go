package model

import "slices"

// Outcome is how an attempt ended.
type Outcome string

// The outcomes of attempts. The last three are of attempts that a client or an operator
// ended.
const (
	OutcomeCompleted  Outcome = "completed"
	OutcomeRetryable  Outcome = "retryable"  // it failed in a way that another attempt may repair
	OutcomePermanent  Outcome = "permanent"  // it failed for good
	OutcomeWorker     Outcome = "worker"     // it failed because of its worker
	OutcomeRejected   Outcome = "rejected"   // the worker refused it
	OutcomeLost       Outcome = "lost"       // the worker fell silent, left, or did not list it
	OutcomeTimeout    Outcome = "timeout"    // it took longer than the timeout of its task
	OutcomeCanceled   Outcome = "canceled"   // the task was canceled
	OutcomePaused     Outcome = "paused"     // the task was paused
	OutcomeSuperseded Outcome = "superseded" // the task was updated, and has a newer attempt
)

// MaxHistory bounds [TaskState.History].
const MaxHistory = 20

// maxHistoryMessage bounds the message of an error in a history, in bytes.
const maxHistoryMessage = 256

// PastAttempt is an attempt that ended.
type PastAttempt struct {
	Attempt    int64      `json:"attempt"`
	WorkerID   string     `json:"worker_id" check:"name"`
	AssignedAt Time       `json:"assigned_at,omitzero"`
	EndedAt    Time       `json:"ended_at,omitzero"`
	Outcome    Outcome    `json:"outcome"`
	Error      *TaskError `json:"error,omitempty"`
}

// AppendAttempt returns a new history with a as its last entry, cut to the last
// [MaxHistory]. An earlier outcome of the same attempt is replaced: a lost worker may
// take its attempt back, and then end it. The message of the error is cut.
func AppendAttempt(history []PastAttempt, a PastAttempt) []PastAttempt {
	if n := len(history); n > 0 && history[n-1].Attempt == a.Attempt {
		history = history[:n-1]
	}
	if a.Error != nil && len(a.Error.Message) > maxHistoryMessage {
		short := *a.Error
		short.Message = cut(short.Message, maxHistoryMessage)
		a.Error = &short
	}
	history = history[max(0, len(history)-MaxHistory+1):]
	return append(slices.Clip(history), a)
}

// Attempts returns the last [MaxHistory] attempts that have ended, the newest last.
// It adds the completion to the stored history, which the other fields of a completed
// task contain, and omits the attempt under way, which may be one that was lost.
func (t *Task) Attempts() []PastAttempt {
	list := t.History
	switch n := len(list); {
	case t.Status == StatusCompleted:
		list = AppendAttempt(list, PastAttempt{
			Attempt: t.Attempt, WorkerID: t.LastWorkerID, AssignedAt: t.AssignedAt, EndedAt: t.FinishedAt, Outcome: OutcomeCompleted,
		})
	case t.Status.Active() && n > 0 && list[n-1].Attempt == t.Attempt:
		list = list[:n-1]
	}
	return list[max(0, len(list)-MaxHistory):]
}
