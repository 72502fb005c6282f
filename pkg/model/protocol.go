package model

import (
	"fmt"
	"math"
	"time"
)

// WorkerState is the state of a worker as its heartbeat reports it.
type WorkerState string

// The states of a heartbeat.
const (
	StateReady    WorkerState = "ready"
	StateDraining WorkerState = "draining" // finishes, takes nothing new
	StateLeaving  WorkerState = "leaving"  // gives its name and its tasks back
	StateError    WorkerState = "error"
)

// maxDir bounds [Heartbeat.Dir] in bytes.
const maxDir = 4096

// maxVersion bounds [Heartbeat.Version] in bytes.
const maxVersion = 64

// Heartbeat is a worker's whole state, and its registration: there is no other.
// Tasks lists everything that it holds, finished ones until they are answered.
type Heartbeat struct {
	WorkerID         string           `json:"worker_id" check:"name"`
	Instance         string           `json:"instance" check:"name"` // random, kept by the worker across restarts
	Epoch            int64            `json:"epoch"`                 // raised by each of its starts
	Seq              int64            `json:"seq"`                   // rises within an epoch; an older one is not applied
	State            WorkerState      `json:"state"`
	StateReason      string           `json:"state_reason,omitempty"`                   // why it is not ready, for people
	Version          string           `json:"version,omitempty" schema:"maxLength: 64"` // of the worker's program
	Hostname         string           `json:"hostname,omitempty"`
	Dir              string           `json:"dir,omitempty" schema:"maxLength: 4096"` // absolute; what paths in results are relative to, unless the task has a folder
	Address          string           `json:"address,omitempty"`
	Port             int              `json:"port,omitempty" schema:"maximum: 65535"`
	TotalSlots       int              `json:"total_slots" schema:"maximum: 10000"`
	Prefetch         int              `json:"prefetch,omitempty" schema:"maximum: 10000"` // tasks beyond its slots that it holds and has not begun, at most
	Capabilities     Capabilities     `json:"capabilities"`
	HealthMetrics    HealthMetrics    `json:"health_metrics"`
	PerformanceStats PerformanceStats `json:"performance_stats"`
	Tasks            []Report         `json:"tasks" schema:"maxItems: 1000"`
	Partial          bool             `json:"partial,omitempty"` // tasks is not all of them: absence means nothing
}

// HeartbeatAnswer orders the worker's next actions.
type HeartbeatAnswer struct {
	HeartbeatInterval Duration     `json:"heartbeat_interval"`
	Term              int64        `json:"term,omitempty"`   // of the leader that answers; 0: it has no standbys
	Assign            []Assignment `json:"assign,omitempty"` // what it should hold and does not list
	Drop              []Drop       `json:"drop,omitempty"`   // what it should stop
	Forget            []TaskRef    `json:"forget,omitempty"` // finished, and known here
}

// Command is one message of the dispatcher to a worker between two heartbeats. Without
// assignments and drops it asks for a heartbeat.
type Command struct {
	Term   int64 // of the leader that sends it; 0: it has no standbys
	Assign []Assignment
	Drop   []Drop
}

// HighestTerm is the highest term that a worker has seen; 0: none.
type HighestTerm int64

// Obeys reports whether a worker obeys a message of that term: it is not lower than the
// highest seen, or the message has none. Then it becomes the highest; the worker stores it
// before it obeys. A message without a term clears it.
func (h *HighestTerm) Obeys(term int64) bool {
	if term != 0 && HighestTerm(term) < *h {
		return false
	}
	*h = HighestTerm(term)
	return true
}

// ReportAnswer is the answer to several reports.
type ReportAnswer struct {
	Term     int64    // of the leader that answers; 0: it has no standbys
	Verdicts []*Error // one for each report, in order; nil: acknowledged
	Drop     []Drop
}

// TaskRef names one attempt of a task.
type TaskRef struct {
	ID      string `json:"id"`
	Attempt int64  `json:"attempt"`
}

// Drop orders a worker to stop an attempt.
type Drop struct {
	ID      string     `json:"id" check:"name"`
	Attempt int64      `json:"attempt"`
	Reason  DropReason `json:"reason"`

	// Folder and Result are the task's, where the finished files of an attempt that
	// the worker no longer holds are to be deleted: it has no memory of them.
	Folder string  `json:"folder,omitempty" check:"name"`
	Result *Result `json:"result,omitempty"`
}

// DropReason states why an attempt must stop. Only canceled and deleted remove the
// partial file.
type DropReason string

// The reasons of a [Drop].
const (
	DropCanceled   DropReason = "canceled"
	DropPaused     DropReason = "paused"
	DropDeleted    DropReason = "deleted"
	DropSuperseded DropReason = "superseded" // the task has a newer attempt, or ended otherwise
	DropUnknown    DropReason = "unknown"    // no such task here
)

// RemovesBytes reports whether the worker deletes the partial file.
func (r DropReason) RemovesBytes() bool { return r == DropCanceled || r == DropDeleted }

// ReportStatus is the state of an attempt on its worker.
type ReportStatus string

// The statuses of a report.
const (
	ReportDownloading ReportStatus = "downloading"
	ReportCompleted   ReportStatus = "completed"
	ReportFailed      ReportStatus = "failed"
	ReportRejected    ReportStatus = "rejected" // it will not take it: full, or not allowed here
	ReportPaused      ReportStatus = "paused"   // waits for disk; changes no status
	ReportQueued      ReportStatus = "queued"   // held and not begun; changes no status
)

// Finished reports whether the attempt has ended on the worker.
func (s ReportStatus) Finished() bool {
	return s == ReportCompleted || s == ReportFailed || s == ReportRejected
}

// Report is the state of one attempt.
type Report struct {
	ID              string       `json:"id" check:"name"`
	Attempt         int64        `json:"attempt"`
	Status          ReportStatus `json:"status"`
	GID             string       `json:"aria2_gid,omitempty"`
	Progress        float64      `json:"progress" schema:"maximum: 100"` // percent
	CompletedLength int64        `json:"completed_length"`
	TotalLength     int64        `json:"total_length"`
	DownloadSpeed   int64        `json:"download_speed"`
	Error           *TaskError   `json:"error,omitempty"`
	Result          *Result      `json:"result,omitempty"`

	// RetryAfter, of a failed attempt, is how long the server asked to wait before the
	// next request, in whole seconds, at most [MaxRetryAfter]; 0 = it did not ask.
	RetryAfter Duration `json:"retry_after,omitempty"`
}

// MaxRetryAfter bounds [Report.RetryAfter]. A longer one is cut.
const MaxRetryAfter = Duration(24 * time.Hour)

// Ref returns the attempt that the report is about.
func (r *Report) Ref() TaskRef { return TaskRef{ID: r.ID, Attempt: r.Attempt} }

// Assignment gives a task to a worker. Its task is complete, with secrets and
// the bytes of a torrent.
type Assignment struct {
	Task        *Task    `json:"task"`
	Attempt     int64    `json:"attempt"`
	TimeoutLeft Duration `json:"timeout_left,omitempty"` // the dispatcher enforces it; 0 = none
}

// Limits of the messages of workers. The dispatcher clamps or cuts what is beyond them, see
// [Heartbeat.Repair] and [Report.Repair].
const (
	MaxSlots       = 10_000
	maxHostName    = 253  // bytes of a host in an error
	MaxMessage     = 1024 // bytes of an error's text kept; longer ones are cut
	MaxResultFiles = 1000 // files listed in a result; more are cut, the total stays

	// MaxAttemptNumber is the highest attempt that can be named: every JSON reader
	// has it exact.
	MaxAttemptNumber = 1<<53 - 1
)

// ValidateIdentity checks the fields that identify the worker and order its heartbeats.
// A heartbeat with invalid ones is unusable; the other fields can be repaired, see
// [Heartbeat.Repair].
func (h *Heartbeat) ValidateIdentity() error {
	switch {
	case !ValidName(h.WorkerID):
		return CheckName("worker_id", h.WorkerID)
	case !ValidName(h.Instance):
		return CheckName("instance", h.Instance)
	case h.Epoch < 0:
		return invalid("epoch", "%d must not be negative", h.Epoch).For(h.WorkerID)
	case h.Seq < 0:
		return invalid("seq", "%d must not be negative", h.Seq).For(h.WorkerID)
	}
	return nil
}

// Validate checks a heartbeat; the error is CodeInvalid and names the field.
// It normalizes the reports, see [Report.Normalize].
func (h *Heartbeat) Validate() error {
	if err := h.ValidateIdentity(); err != nil {
		return err
	}
	switch {
	case !h.State.known():
		return invalid("state", "%.40q is not allowed; use ready, draining, leaving or error", h.State)
	case h.TotalSlots < 0 || h.TotalSlots > MaxSlots:
		return invalid("total_slots", "%d is not from 0 to %d", h.TotalSlots, MaxSlots)
	case h.Prefetch < 0 || h.Prefetch > MaxSlots:
		return invalid("prefetch", "%d is not from 0 to %d", h.Prefetch, MaxSlots)
	case h.Port < 0 || h.Port > 65535:
		return invalid("port", "%d is not a port", h.Port)
	case len(h.Tasks) > MaxBatch:
		return invalid("tasks", "at most %d, not %d; send the rest as partial", MaxBatch, len(h.Tasks))
	case len(h.Capabilities.Folders) > MaxPairs:
		return invalid("capabilities.folders", "at most %d, not %d", MaxPairs, len(h.Capabilities.Folders))
	case len(h.Capabilities.Protocols) > MaxPairs:
		return invalid("capabilities.protocols", "at most %d, not %d", MaxPairs, len(h.Capabilities.Protocols))
	}
	for _, text := range h.texts() {
		if err := checkText(*text.value, text.most); err != nil {
			return invalid(text.field, "%v", err)
		}
	}
	if err := checkPairs("capabilities.tags", h.Capabilities.Tags); err != nil {
		return err
	}
	for i := range h.Tasks {
		if err := h.Tasks[i].Normalize(); err != nil {
			e := *AsError(err)
			e.Message = fmt.Sprintf("tasks[%d].%s", i, e.Message)
			return &e
		}
	}
	return nil
}

// Validate checks the name of an attempt; the error is CodeInvalid and names the field.
func (r TaskRef) Validate() error {
	if err := CheckName("id", r.ID); err != nil {
		return err
	}
	if r.Attempt <= 0 || r.Attempt > MaxAttemptNumber {
		return invalid("attempt", "%d is not from 1 to %d", r.Attempt, int64(MaxAttemptNumber)).For(r.ID)
	}
	return nil
}

// Normalize checks a report; the error is CodeInvalid and names the field. It cuts texts
// and lists that are merely too long: a worker must always be able to report the end of an
// attempt. After an error the report is unchanged.
func (r *Report) Normalize() error {
	if err := CheckName("id", r.ID); err != nil {
		return err
	}
	if !r.Status.known() {
		return invalid("status", "%.40q is not allowed; use queued, downloading, completed, failed, rejected or paused", r.Status).For(r.ID)
	}
	if err := r.Ref().Validate(); err != nil {
		return err
	}
	switch {
	case math.IsNaN(r.Progress) || r.Progress < 0 || r.Progress > 100:
		return invalid("progress", "%v is not from 0 to 100", r.Progress).For(r.ID)
	case r.CompletedLength != KnownLength(r.CompletedLength):
		return invalid("completed_length", "%d is out of range", r.CompletedLength).For(r.ID)
	case r.TotalLength != KnownLength(r.TotalLength):
		return invalid("total_length", "%d is out of range", r.TotalLength).For(r.ID)
	case r.DownloadSpeed != KnownLength(r.DownloadSpeed):
		return invalid("download_speed", "%d is out of range", r.DownloadSpeed).For(r.ID)
	case r.Status == ReportFailed && r.Error == nil:
		return invalid("error", "is missing from a failed report").For(r.ID)
	case r.Error != nil && !r.Error.Class.Valid():
		return invalid("error.class", "%.40q is not allowed; use retryable, permanent or worker", r.Error.Class).For(r.ID)
	case r.Result != nil && !r.Result.possible():
		return invalid("result", "a length is out of range").For(r.ID)
	}
	r.cut()
	return nil
}

// TaskEvent announces a change of a task's status; its subject names the status too.
// Events are hints: a crash after a commit loses them.
type TaskEvent struct {
	ID          string     `json:"id" check:"name"`
	Client      string     `json:"client" check:"name"`
	Status      Status     `json:"status"`
	WorkerID    string     `json:"worker_id,omitempty" check:"name"`
	Attempt     int64      `json:"attempt"`
	Error       *TaskError `json:"error,omitempty"`
	Result      *Result    `json:"result,omitempty"`
	At          Time       `json:"at"`
	Traceparent string     `json:"traceparent,omitempty" check:"raw"` // of the submit
}

// ProgressEvent reports the progress of a download.
type ProgressEvent struct {
	ID              string  `json:"id" check:"name"`
	Client          string  `json:"client" check:"name"`
	WorkerID        string  `json:"worker_id" check:"name"`
	Attempt         int64   `json:"attempt"`
	Progress        float64 `json:"progress" schema:"maximum: 100"` // percent
	CompletedLength int64   `json:"completed_length"`
	TotalLength     int64   `json:"total_length"`
	DownloadSpeed   int64   `json:"download_speed"`
	At              Time    `json:"at"`
}

// CommitEvent announces a commit of the leader to the standbys, which compare it with what
// the database has after a failover.
type CommitEvent struct {
	Store  string `json:"store"`  // id of the database
	Term   int64  `json:"term"`   // of the leader
	Commit int64  `json:"commit"` // number of the commit, rising
}

// WorkerEvent announces a change of a worker's status.
type WorkerEvent struct {
	ID     string       `json:"id"`
	Status WorkerStatus `json:"status"`
	At     Time         `json:"at"`

	// For the dispatcher's log, not sent: the status before, "" of a new worker; and,
	// of a worker that is now offline, the number of its tasks and whether it
	// deregistered.
	Before WorkerStatus `json:"-"`
	Tasks  int          `json:"-"`
	Left   bool         `json:"-"`
}

// IntakeVerdict is the outcome of a message of the intake: the task that was created
// from it, or the error.
type IntakeVerdict struct {
	Seq    uint64 `json:"seq"`              // the message's, as its PubAck said
	MsgID  string `json:"msg_id,omitempty"` // its header Nats-Msg-Id
	Client string `json:"client"`
	ID     string `json:"id,omitempty"`     // of the task
	Status Status `json:"status,omitempty"` // of the task
	Error  *Error `json:"error,omitempty"`
	At     Time   `json:"at"`
}
