package engine

import (
	"math"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// verdict is what a worker's word about an attempt comes to.
type verdict int

const (
	counts     verdict = iota // it is the holder, and was taken at its word
	known                     // it was taken at its word before: it may forget
	mustDrop                  // it must stop
	unknowable                // nothing is said of it yet
)

// report takes one worker's word about one attempt.
func (e *Engine) report(r Report) Answer {
	w := e.workers[r.Worker]
	if w == nil {
		return e.reportOfStranger(&r)
	}
	switch v, reason := e.hear(w, e.tasks[r.ID], &r.Report); v {
	case mustDrop:
		return Answer{
			Err:  model.Errorf(model.CodeConflict, "the worker %s does not hold attempt %d of the task %s: %s", w.ID, r.Attempt, r.ID, reason).For(r.ID),
			Drop: &model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: reason},
		}
	case unknowable:
		return Answer{Err: model.Errorf(model.CodeUnavailable,
			"the dispatcher has just started and does not know the task %s: say it again later", r.ID).For(r.ID)}
	}
	return Answer{}
}

// reportOfStranger answers a worker that has not sent a heartbeat. It is not told
// to drop what it may take back once it has.
func (e *Engine) reportOfStranger(r *Report) Answer {
	answer := Answer{Err: model.Errorf(model.CodeConflict, "the worker %s is not registered: it must send a heartbeat first", r.Worker).For(r.ID)}
	v, reason := e.fate(e.tasks[r.ID], r.Worker, &r.Report)
	if v == mustDrop {
		answer.Drop = &model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: reason}
	}
	return answer
}

// hear applies a worker's word about one attempt of t, nil if it is not live, from
// a report or a heartbeat.
func (e *Engine) hear(w *worker, t *task, r *model.Report) (verdict, model.DropReason) {
	v, reason := e.fate(t, w.ID, r)
	if v != counts {
		return v, reason
	}
	if t.run == nil {
		e.takeBack(w, t)
	}
	t.run.beat = w.beat
	e.hasStopped(w, t.id) // an earlier attempt of it, which this one has superseded there
	e.listed(t)
	switch r.Status {
	case model.ReportCompleted:
		e.complete(t, r)
	case model.ReportFailed:
		t.run.cameTo(r)
		e.fail(t, r.Error)
	case model.ReportRejected:
		e.rejected(t, r)
	case model.ReportDownloading:
		e.downloading(t, r)
	case model.ReportPaused: // waits for its disk: nothing changes, unless it was just taken back
		if t.status() == model.StatusPending {
			e.downloading(t, r)
		}
	}
	return counts, ""
}

// fate says what a worker's word about an attempt of t, nil if it is not live, is
// worth, without applying it.
func (e *Engine) fate(t *task, worker string, r *model.Report) (verdict, model.DropReason) {
	if t == nil {
		return e.fateOfEnded(worker, r)
	}
	if r.Attempt != t.attempt {
		e.named(t, worker, r.Attempt)
		return mustDrop, model.DropSuperseded
	}
	if t.run != nil {
		if t.run.worker.ID == worker {
			return counts, ""
		}
		return mustDrop, model.DropSuperseded
	}
	return e.fateOfReleased(t, worker, r)
}

// fateOfReleased is for the current attempt of a task that waits again: what it
// was released for decides what its last worker may still say. A completion
// counts in any case: the bytes are there, and nobody else was given the task.
func (e *Engine) fateOfReleased(t *task, worker string, r *model.Report) (verdict, model.DropReason) {
	paused := t.status() == model.StatusPaused
	switch {
	case t.more().last != worker || t.status() != model.StatusPending && !paused:
		return mustDrop, model.DropSuperseded
	case r.Status == model.ReportCompleted:
		return counts, ""
	case t.reclaimable && (r.Status.Finished() || !e.hasLeft(worker)):
		return counts, ""
	case r.Status.Finished():
		return known, "" // that attempt has failed here, whether by this report or by its timeout
	case paused:
		return mustDrop, model.DropPaused
	}
	return mustDrop, model.DropSuperseded
}

// hasLeft reports whether the worker gave its tasks back and has not come again.
// What it said before may arrive after it left.
func (e *Engine) hasLeft(worker string) bool {
	w := e.workers[worker]
	return w != nil && w.left
}

// named notes that a registered worker names an attempt which the store does not
// have: the next one has to be above both.
func (e *Engine) named(t *task, worker string, attempt int64) {
	if e.workers[worker] == nil || attempt <= t.named() || attempt > maxNamed {
		return
	}
	e.note(t.id, worker, "the worker names a higher attempt than the store: the store was rolled back")
	t.grow().named = attempt
}

func (e *Engine) fateOfEnded(worker string, r *model.Report) (verdict, model.DropReason) {
	if _, ok := e.aside[r.ID]; ok {
		return unknowable, "" // it has not ended
	}
	row := e.rowOfEnded(r.ID)
	if row == nil {
		if e.importing || e.alive < e.graceEnds {
			return unknowable, ""
		}
		return mustDrop, model.DropUnknown
	}
	own := row.LastWorkerID == worker && row.Attempt == r.Attempt
	switch {
	case row.Status == model.StatusCanceled:
		return mustDrop, model.DropCanceled
	case own && (r.Status.Finished() || row.Status == model.StatusCompleted):
		return known, ""
	}
	return mustDrop, model.DropSuperseded
}

// rowOfEnded returns what is known of a task that is not live: in the store, or
// because it ended in this very turn.
func (e *Engine) rowOfEnded(id string) *model.Task {
	if t := e.turn.ended[id]; t != nil {
		return &model.Task{TaskState: model.TaskState{Status: t.status(), Attempt: t.attempt, LastWorkerID: t.more().last}}
	}
	return e.row(id)
}

// listed notes that the holder knows of the attempt.
func (e *Engine) listed(t *task) {
	t.run.listAt, t.run.resent = 0, false
	e.check(t)
}

// takeBack returns a task to the worker that held it last, before it was given
// away: its bytes are kept, and its attempt's timeout goes on.
func (e *Engine) takeBack(w *worker, t *task) {
	if w.lost && !w.left {
		e.revive(w)
	}
	e.unqueue(t)
	e.watch.remove(t)
	e.hold(w, t)
}

// downloading notes the progress, and the start where it is news.
func (e *Engine) downloading(t *task, r *model.Report) {
	p := progressFrom(r)
	if t.rejections != 0 {
		t.rejections = 0
	}
	if t.status() != model.StatusDownloading {
		t.run.progress = p
		state := p.state()
		state.Status, state.WorkerID, state.StartedAt = model.StatusDownloading, t.workerID(), e.now
		e.change(t, model.SetStatus|model.SetWorker|model.SetStarted|model.SetGID|model.SetProgress, state)
		return
	}
	moved := p.completed != t.run.progress.completed || p.total != t.run.progress.total
	t.run.progress = p
	if moved && !t.run.dirty {
		t.run.dirty = true
		e.dirty = append(e.dirty, t)
	}
	if moved && e.steady-t.run.told >= 1000 {
		t.run.told = e.steady
		e.turn.plan.Progress = append(e.turn.plan.Progress, model.ProgressEvent{
			ID: t.id, Client: t.client.name, WorkerID: t.workerID(), Attempt: t.attempt, Progress: p.percent,
			CompletedLength: p.completed, TotalLength: p.total, DownloadSpeed: p.speed, At: e.now,
		})
	}
}

func (e *Engine) complete(t *task, r *model.Report) {
	result := model.Result{TotalLength: r.TotalLength}
	if r.Result != nil {
		result = *r.Result
	}
	result.WorkerID = t.workerID()
	t.run.progress = progressFrom(r)
	t.run.progress.percent = 100
	t.run.progress.completed = max(r.CompletedLength, result.TotalLength)
	t.run.progress.total = max(r.TotalLength, result.TotalLength)
	e.finish(t, model.StatusCompleted, nil, &result)
}

// rejected sends a task elsewhere without blame, and with a wait once it has been
// everywhere.
func (e *Engine) rejected(t *task, r *model.Report) {
	why := &model.TaskError{Code: 1, Class: model.ClassWorker, Message: "rejected by " + t.workerID()}
	if r.Error != nil && r.Error.Message != "" {
		why.Message += ": " + r.Error.Message
	}
	var wait model.Duration
	if t.rejections < math.MaxInt16 {
		t.rejections++
	}
	if t.rejections >= maxAvoids {
		wait = e.backoff(t, t.rejections-maxAvoids+1)
	}
	e.requeue(t, why, wait, true)
}

// cameTo notes how far a failed attempt came, as far as its worker says.
func (run *run) cameTo(r *model.Report) {
	if r.TotalLength > 0 {
		run.progress.total = r.TotalLength
	}
	if r.CompletedLength > 0 {
		run.progress.completed, run.progress.percent = r.CompletedLength, r.Progress
	}
}

// fail counts a failed attempt and decides whether there is another.
func (e *Engine) fail(t *task, why *model.TaskError) {
	t.failures = small(int(t.failures) + 1)
	w := t.run.worker
	w.ErrorHistory = append(w.ErrorHistory, model.ErrorEntry{At: e.now, Task: t.id, Message: why.Message})
	if n := len(w.ErrorHistory) - model.MaxErrorHistory; n > 0 {
		w.ErrorHistory = append([]model.ErrorEntry(nil), w.ErrorHistory[n:]...)
	}
	switch {
	case why.Class == model.ClassPermanent || t.failures >= t.maxAttempts:
		e.finish(t, model.StatusFailed, why, nil)
	case why.Class == model.ClassWorker && e.servable(t.line.class.set, w.ID):
		e.requeue(t, why, 0, true)
	default:
		e.requeue(t, why, e.backoff(t, t.failures), false)
	}
}

// finish makes a task terminal. A worker that holds it and did not say so itself
// still has to stop.
func (e *Engine) finish(t *task, status model.Status, why *model.TaskError, result *model.Result) {
	set := model.SetStatus | model.SetWorker | model.SetFailures | model.SetRetryAt | model.SetError | model.SetResult | model.SetFinished
	state := model.TaskState{}
	if t.run != nil {
		state = t.run.progress.ended()
		set |= model.SetProgress | model.SetGID | model.SetLastWorker
		state.LastWorkerID = t.workerID()
		e.release(t, status == model.StatusCanceled)
	}
	state.Status, state.Error, state.Result = status, why, result
	state.Failures, state.Losses = int(t.failures), int(t.losses)
	state.FinishedAt = e.now
	e.change(t, set, state)
	e.end(t)
}

func progressFrom(r *model.Report) progress {
	return progress{gid: r.GID, percent: r.Progress, completed: r.CompletedLength, total: r.TotalLength, speed: r.DownloadSpeed}
}
