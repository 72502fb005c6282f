package worker

import (
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// heldTask is one task that the worker holds. Only the loop uses it.
type heldTask struct {
	entry
	dir *downloadDir
	// report is its current report: progress, or the end.
	report model.Report
	// rejected says that the assignment was refused: neither the journal nor the engine
	// has the task.
	rejected bool
	// queued says that it is not begun: it waits for a free slot. The engine has no job and
	// the download folder no part folder for it, unless an earlier attempt left one.
	queued  bool
	arrived int64 // queued: its place among those of the same priority
	// duplicateKey is that of its task, see [duplicateKey].
	duplicateKey string

	// wantedVersion counts the versions of the job, givenVersion is the one that the
	// engine has. If they differ, the engine must remove its job first.
	wantedVersion, givenVersion int
	// engineErrorSince is the time since which the engine has failed to accept the job.
	engineErrorSince time.Time

	// drop is set when the task must stop; nextAssignment waits for that.
	drop           *model.Drop
	nextAssignment *model.Assignment

	counted     bool // its existing bytes are known, so that further bytes count as progress
	paused      bool // accepted: not in the engine until space is free
	unjournaled bool // moving: the journal does not have it yet
	released    bool // moving: the engine has removed its job
	moving      bool // moving: a goroutine moves the files
	stuck       bool // moving: that goroutine could not remove the job; the reconciliation does
	// transferred says that the engine has every byte and checks them.
	transferred bool

	startedAt      time.Time    // when the engine was given the job first
	announced      bool         // the start was reported
	lastReported   model.Report // the last report of progress
	lastProgressAt time.Time
	retryAt        time.Time // its report is not repeated before
	refusals       int       // of its report, in a row
}

func newHeldTask(e *entry, a *downloadDir) *heldTask {
	h := &heldTask{entry: *e, dir: a, wantedVersion: 1, duplicateKey: duplicateKey(e.Task)}
	if e.Report != nil {
		h.report = *e.Report
		return h
	}
	h.report = model.Report{ID: e.Task.ID, Attempt: e.Attempt, Status: model.ReportDownloading}
	return h
}

func (h *heldTask) id() string { return h.Task.ID }

// isUnfinished reports whether the task is queued or uses a slot.
func (h *heldTask) isUnfinished() bool { return h.Phase != phaseFinished && h.drop == nil }

// isBegun reports whether the task is unfinished and not queued.
func (h *heldTask) isBegun() bool { return h.isUnfinished() && !h.queued }

// occupiesSlot reports whether the task uses a slot. Files that are checked and placed use
// none, so that the next download does not wait for their confirmation and syncs.
func (h *heldTask) occupiesSlot() bool {
	return h.isBegun() && h.Phase != phaseMoving && !h.transferred
}

// belongsInEngine reports whether the engine should have the job.
func (h *heldTask) belongsInEngine() bool {
	return h.Phase == phaseAccepted && h.drop == nil && !h.queued && !h.dir.low
}

// setAttempt changes the task to a later attempt.
func (h *heldTask) setAttempt(a *model.Assignment) {
	h.Attempt, h.report.Attempt = a.Attempt, a.Attempt
	if h.Phase == phaseFinished {
		h.setFinalReport(&h.report)
	}
	h.announced, h.lastReported, h.lastProgressAt, h.startedAt = false, model.Report{}, time.Time{}, time.Time{}
	h.retryAt, h.refusals = time.Time{}, 0
}

// setFinalReport makes r the final report of the task.
func (h *heldTask) setFinalReport(r *model.Report) {
	last := *r
	last.Repair()
	last.ID, last.Attempt = h.id(), h.Attempt
	h.Phase, h.Report, h.report, h.queued = phaseFinished, &last, last, false
	h.retryAt, h.refusals = time.Time{}, 0
}

const (
	keepFinishedFor = 10 * time.Minute
	maxFinished     = 10_000
)

// finishedAttempts stores which attempts have ended, so that a late or repeated command
// for one has no effect. It keeps the latest maxFinished of them for keepFinishedFor.
type finishedAttempts struct {
	latest map[string]attemptEnd
	order  []idEnd // by time; an entry counts only if it is in the map too
}

type attemptEnd struct {
	attempt int64
	until   time.Time
}

type idEnd struct {
	id    string
	until time.Time
}

func (m *finishedAttempts) add(id string, attempt int64, now time.Time) {
	if m.latest == nil {
		m.latest = make(map[string]attemptEnd)
	}
	until := now.Add(keepFinishedFor)
	m.latest[id] = attemptEnd{max(attempt, m.latest[id].attempt), until}
	m.order = append(m.order, idEnd{id, until})
	for len(m.order) > maxFinished || m.order[0].until.Before(now) {
		first := m.order[0]
		m.order = m.order[1:]
		if m.latest[first.id].until.Equal(first.until) {
			delete(m.latest, first.id)
		}
	}
}

// has reports whether the attempt, or a later one of the task, has ended.
func (m *finishedAttempts) has(id string, attempt int64, now time.Time) bool {
	end, ok := m.latest[id]
	return ok && attempt <= end.attempt && !end.until.Before(now)
}
