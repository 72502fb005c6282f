package worker

import (
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// held is one task that the worker answers for. Only the loop touches it.
type held struct {
	entry
	area *area
	// report is what is said of it: how far it is, or how it ended.
	report model.Report
	// refused marks one that was never taken: it is in no journal and no engine.
	refused bool
	// duplicateKey is that of its task, see [duplicateKey].
	duplicateKey string

	// wanted counts the versions of what the engine should do, given is the one
	// that it was given. Where they differ, the engine must forget what it has.
	wanted, given int
	// trouble is since when the engine could not be brought to have it.
	trouble time.Time

	// drop is set once it must stop, next is the assignment that waits for that.
	drop *model.Drop
	next *model.Assignment

	measured bool // its bytes so far were counted, so that what comes is gain
	paused   bool // accepted: the engine has let go of it until there is space
	released bool // moving: the engine has let go of the files
	moving   bool // moving: a goroutine is at it

	announced bool         // the dispatcher was told that it began
	said      model.Report // what the last report of progress said
	saidAt    time.Time
	retryAt   time.Time // its report is not repeated before
	refusals  int       // of its report, in a row
}

func newHeld(e *entry, a *area) *held {
	h := &held{entry: *e, area: a, wanted: 1, duplicateKey: duplicateKey(e.Task)}
	if e.Report != nil {
		h.report = *e.Report
		return h
	}
	h.report = model.Report{ID: e.Task.ID, Attempt: e.Attempt, Status: model.ReportDownloading}
	return h
}

func (h *held) id() string { return h.Task.ID }

// busy reports whether it takes up a slot.
func (h *held) busy() bool { return h.Phase != phaseFinished && h.drop == nil }

// inEngine reports whether the engine should have it.
func (h *held) inEngine() bool {
	return h.Phase == phaseAccepted && h.drop == nil && !h.area.low
}

// renew puts it under a later attempt.
func (h *held) renew(a *model.Assignment) {
	h.Attempt, h.report.Attempt = a.Attempt, a.Attempt
	if h.Phase == phaseFinished {
		h.end(&h.report)
	}
	h.announced, h.said, h.saidAt = false, model.Report{}, time.Time{}
	h.retryAt, h.refusals = time.Time{}, 0
}

// end makes r the last report of it.
func (h *held) end(r *model.Report) {
	last := *r
	last.Repair()
	last.ID, last.Attempt = h.id(), h.Attempt
	h.Phase, h.Report, h.report = phaseFinished, &last, last
	h.retryAt, h.refusals = time.Time{}, 0
}

const (
	rememberFor = 10 * time.Minute
	rememberMax = 10_000
)

// ended remembers which attempts are over, so that a late or doubled command for
// one does nothing. It keeps the latest rememberMax of them, for rememberFor.
type ended struct {
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

func (m *ended) add(id string, attempt int64, now time.Time) {
	if m.latest == nil {
		m.latest = make(map[string]attemptEnd)
	}
	until := now.Add(rememberFor)
	m.latest[id] = attemptEnd{max(attempt, m.latest[id].attempt), until}
	m.order = append(m.order, idEnd{id, until})
	for len(m.order) > rememberMax || m.order[0].until.Before(now) {
		first := m.order[0]
		m.order = m.order[1:]
		if m.latest[first.id].until.Equal(first.until) {
			delete(m.latest, first.id)
		}
	}
}

// has reports whether the attempt, or a later one of the task, is over.
func (m *ended) has(id string, attempt int64, now time.Time) bool {
	end, ok := m.latest[id]
	return ok && attempt <= end.attempt && !end.until.Before(now)
}
