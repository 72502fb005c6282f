package worker

import (
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// heldTask is one task that the worker answers for. Only the loop touches it.
type heldTask struct {
	entry
	dir *downloadDir
	// report is what is said of it: how far it is, or how it ended.
	report model.Report
	// refused marks one that was never taken: it is in no journal and no engine.
	rejected bool
	// duplicateKey is that of its task, see [duplicateKey].
	duplicateKey string

	// wanted counts the versions of what the engine should do, given is the one
	// that it was given. Where they differ, the engine must forget what it has.
	wantedVersion, givenVersion int
	// trouble is since when the engine could not be brought to have it.
	engineErrorSince time.Time

	// drop is set once it must stop, next is the assignment that waits for that.
	drop           *model.Drop
	nextAssignment *model.Assignment

	counted  bool // its bytes so far were counted, so that what comes is gain
	paused   bool // accepted: the engine has let go of it until there is space
	released bool // moving: the engine has let go of the files
	moving   bool // moving: a goroutine is at it

	announced      bool         // the dispatcher was told that it began
	lastReported   model.Report // what the last report of progress said
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

// occupiesSlot reports whether it takes up a slot.
func (h *heldTask) occupiesSlot() bool { return h.Phase != phaseFinished && h.drop == nil }

// belongsInEngine reports whether the engine should have it.
func (h *heldTask) belongsInEngine() bool {
	return h.Phase == phaseAccepted && h.drop == nil && !h.dir.low
}

// setAttempt puts it under a later attempt.
func (h *heldTask) setAttempt(a *model.Assignment) {
	h.Attempt, h.report.Attempt = a.Attempt, a.Attempt
	if h.Phase == phaseFinished {
		h.setFinalReport(&h.report)
	}
	h.announced, h.lastReported, h.lastProgressAt = false, model.Report{}, time.Time{}
	h.retryAt, h.refusals = time.Time{}, 0
}

// setFinalReport makes r the last report of it.
func (h *heldTask) setFinalReport(r *model.Report) {
	last := *r
	last.Repair()
	last.ID, last.Attempt = h.id(), h.Attempt
	h.Phase, h.Report, h.report = phaseFinished, &last, last
	h.retryAt, h.refusals = time.Time{}, 0
}

const (
	keepFinishedFor = 10 * time.Minute
	maxFinished     = 10_000
)

// finishedAttempts remembers which attempts are over, so that a late or doubled command
// for one does nothing. It keeps the latest rememberMax of them, for rememberFor.
type finishedAttempts struct {
	latest map[string]attemptEnd
	order  []idEnd // by time; the map decides whether one still counts
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

// has reports whether the attempt, or a later one of the task, is over.
func (m *finishedAttempts) has(id string, attempt int64, now time.Time) bool {
	end, ok := m.latest[id]
	return ok && attempt <= end.attempt && !end.until.Before(now)
}
