package model

import "slices"

// Status is the state of a task.
type Status string

// The states of a task.
const (
	StatusPending     Status = "pending"     // waits for a worker
	StatusQueued      Status = "queued"      // assigned; the worker has not begun
	StatusDownloading Status = "downloading" // the worker reported that it began
	StatusPaused      Status = "paused"      // held back by its client
	StatusCompleted   Status = "completed"   // all bytes are on the worker's disk
	StatusFailed      Status = "failed"      // given up; Error says why
	StatusCanceled    Status = "canceled"    // its client took it back
)

// Statuses lists every status, in the order in which a task passes through them.
var Statuses = []Status{
	StatusPending, StatusQueued, StatusDownloading, StatusPaused,
	StatusCompleted, StatusFailed, StatusCanceled,
}

// transitions is the whole state machine: from a status, where a task may go.
// A task is born as "" and leaves by deletion, which only a terminal one may.
var transitions = map[Status][]Status{
	"":                {StatusPending},
	StatusPending:     {StatusQueued, StatusDownloading, StatusPaused, StatusCompleted, StatusFailed, StatusCanceled},
	StatusQueued:      {StatusDownloading, StatusPending, StatusPaused, StatusCompleted, StatusFailed, StatusCanceled},
	StatusDownloading: {StatusPending, StatusPaused, StatusCompleted, StatusFailed, StatusCanceled},
	StatusPaused:      {StatusPending, StatusCompleted, StatusCanceled},
	StatusCompleted:   {},
	StatusFailed:      {StatusPending},
	StatusCanceled:    {StatusPending},
}

// Why each of the less plain ones is legal:
//   - pending → downloading | completed | failed: the worker that was taken for
//     lost comes back before the task was given away, and continues;
//   - paused → completed: the worker had finished before it heard of the pause;
//   - failed | canceled → pending: a client's retry. A completed task never runs
//     again.

// CanBecome reports whether a task may go from s to next. Staying in a status is not a
// transition.
func (s Status) CanBecome(next Status) bool {
	return slices.Contains(transitions[s], next)
}

// Terminal reports whether a task in s has ended: only retry, update and delete apply, and
// to a completed one only delete.
func (s Status) Terminal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCanceled
}

// Active reports whether a task in s is held by a worker.
func (s Status) Active() bool { return s == StatusQueued || s == StatusDownloading }

// Valid reports whether s is one of [Statuses].
func (s Status) Valid() bool { return s != "" && transitions[s] != nil }

// Index returns the place of s in [Statuses], or -1.
func (s Status) Index() int { return slices.Index(Statuses, s) }

// WorkerStatus is the state of a worker.
type WorkerStatus string

// The states of a worker. "removed" occurs in the last event about a worker only.
const (
	WorkerOnline   WorkerStatus = "online"   // has free slots
	WorkerBusy     WorkerStatus = "busy"     // has none
	WorkerDraining WorkerStatus = "draining" // finishes what it holds, takes nothing new
	WorkerOffline  WorkerStatus = "offline"  // no heartbeat for heartbeat_timeout
	WorkerError    WorkerStatus = "error"    // says so itself, or its health is under the floor
	WorkerRemoved  WorkerStatus = "removed"  // only in events
)

// workerStatuses are those that a worker can have.
var workerStatuses = []WorkerStatus{WorkerOnline, WorkerBusy, WorkerDraining, WorkerOffline, WorkerError}
