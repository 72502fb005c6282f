package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// jobOutcome is what a reconciliation has found about one wanted job.
type jobOutcome int

const (
	jobGone       jobOutcome = iota // the task is no longer held
	jobOutdated                     // the engine should have another job now, or none
	jobUnanswered                   // the engine does not answer
	jobRefused                      // the engine does not accept the job
	jobStarted                      // the engine has the job, and its state is not known yet
	jobActive                       // it downloads
	jobComplete
	jobFailed
	jobOutcomes // their number
)

// finding is the outcome of one wanted job with its reason.
type finding struct {
	outcome jobOutcome
	held    *heldTask
	state   download.State // for jobActive, jobComplete and jobFailed
	err     error          // for jobUnanswered and jobRefused
}

// passTotals collects what one reconciliation has found of all jobs.
type passTotals struct {
	complete      []*heldTask // their placement is set
	speed, gained int64       // bytes/s, bytes
}

// find returns the outcome of a wanted job, and notes the version that the engine has.
func (p *reconciliation) find(tasks map[string]*heldTask, want *wantedJob) finding {
	f := finding{held: want.held}
	h := want.held
	if tasks[want.task.ID] != h {
		f.outcome = jobGone
		return f
	}
	refused := p.startErrs[h]
	if p.err == nil && refused == nil {
		h.givenVersion = want.version
	}
	state, known := p.states[h.id()]
	switch {
	case !h.belongsInEngine() || h.wantedVersion != want.version:
		f.outcome = jobOutdated
	case p.err != nil:
		f.outcome, f.err = jobUnanswered, p.err
	case refused != nil:
		f.outcome, f.err = jobRefused, refused
	case !known:
		f.outcome = jobStarted
	case state.Phase == download.Complete:
		f.outcome, f.state = jobComplete, state
	case state.Phase == download.Failed:
		f.outcome, f.state = jobFailed, state
	default:
		f.outcome, f.state = jobActive, state
	}
	return f
}

// outcomeHandlers has the function for each outcome.
var outcomeHandlers = [jobOutcomes]func(*Worker, *finding, time.Time, *passTotals){
	jobGone:       func(*Worker, *finding, time.Time, *passTotals) {},
	jobOutdated:   (*Worker).onOutdated,
	jobUnanswered: (*Worker).onUnanswered,
	jobRefused:    (*Worker).onRefused,
	jobStarted:    (*Worker).onStarted,
	jobActive:     (*Worker).onActive,
	jobComplete:   (*Worker).onComplete,
	jobFailed:     (*Worker).onFailed,
}

// onOutdated has the next reconciliation compare the job again.
func (w *Worker) onOutdated(*finding, time.Time, *passTotals) { w.scheduleReconcile() }

// onUnanswered gives a task back, without a failure, after engineErrorTimeout.
func (w *Worker) onUnanswered(f *finding, now time.Time, _ *passTotals) {
	if w.noteEngineError(f.held, f.err, now) {
		w.finishTask(f.held, rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker, "the engine does not answer: %v", f.err))
	}
}

// onRefused fails a task that cannot be done here. One that the engine does not accept goes to
// another worker after engineErrorTimeout: only this job is refused.
func (w *Worker) onRefused(f *finding, now time.Time, _ *passTotals) {
	var no *refusal
	if errors.As(f.err, &no) {
		w.failTask(f.held, taskError(no.code, no.class, no.message))
		return
	}
	if w.noteEngineError(f.held, f.err, now) {
		w.failTask(f.held, taskError(download.CodeUnknown, model.ClassWorker, fmt.Sprintf("the engine does not take it: %v", f.err)))
	}
}

// noteEngineError records that the engine has not accepted a job. It returns true if that
// has lasted for engineErrorTimeout.
func (w *Worker) noteEngineError(h *heldTask, err error, now time.Time) bool {
	if h.engineErrorSince.IsZero() {
		h.engineErrorSince = now
		w.log.Warn("the engine does not take a task", "task", h.id(), "attempt", h.Attempt, "error", err)
	}
	return now.Sub(h.engineErrorSince) >= engineErrorTimeout
}

func (w *Worker) onStarted(f *finding, _ time.Time, _ *passTotals) {
	f.held.engineErrorSince = time.Time{}
}

// noteState is the part that all states have in common.
func (f *finding) noteState(sum *passTotals) {
	h := f.held
	h.engineErrorSince = time.Time{}
	if h.counted {
		sum.gained = model.AddLengths(sum.gained, f.state.Completed-h.report.CompletedLength)
	}
	h.counted = true
	sum.speed = model.AddLengths(sum.speed, f.state.Speed)
	h.report.GID = f.state.GID // a short download may end before it was seen active
	h.report.Error = f.state.Before
}

// onActive reports the progress of a download.
func (w *Worker) onActive(f *finding, _ time.Time, sum *passTotals) {
	f.noteState(sum)
	h, s := f.held, &f.state
	h.paused, h.transferred = false, s.Transferred
	h.report = model.Report{
		ID: h.id(), Attempt: h.Attempt, Status: model.ReportDownloading, GID: s.GID, Error: s.Before,
		CompletedLength: s.Completed, TotalLength: s.Total, DownloadSpeed: s.Speed,
	}
	if s.Total > 0 {
		h.report.Progress = model.KnownPercent(100 * float64(s.Completed) / float64(s.Total))
	}
}

// onComplete sets the placement of the files.
func (w *Worker) onComplete(f *finding, _ time.Time, sum *passTotals) {
	f.noteState(sum)
	place, err := newPlacement(f.held.Task, f.state.Files)
	if err != nil {
		w.failTask(f.held, taskError(download.CodeUnknown, model.ClassPermanent, err.Error()))
		return
	}
	place.Synced = f.state.Synced
	f.held.Place = place
	sum.complete = append(sum.complete, f.held)
}

// onFailed ends the attempt.
func (w *Worker) onFailed(f *finding, _ time.Time, sum *passTotals) {
	f.noteState(sum)
	why := f.state.Err
	if why == nil {
		why = taskError(download.CodeUnknown, model.ClassRetryable, "the engine gave up without a reason")
	}
	if why.Code == download.CodeDuplicateTorrent { // such as by a URL of a torrent: its hash was not known before
		w.finishTask(f.held, duplicateRejection(why.Code, why.Message))
		return
	}
	w.failTask(f.held, why)
}
