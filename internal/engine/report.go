package engine

import (
	"cmp"
	"math"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Report is a report of a worker on one attempt.
type Report struct {
	Worker string
	model.Report
}

// Traits implements [Event].
func (r Report) Traits() Traits { return Traits{Lane: LaneWorkers, Worker: r.Worker, Task: r.ID} }

func (r Report) reads(e *Engine, ids []string) []string {
	if e.needsRow(&r.Report) {
		ids = append(ids, r.ID)
	}
	return ids
}

// needsRow reports whether a report can be decided only with the row of its task: it has
// the history, which a failure makes longer, the name of the host for a cool-down, and the last
// update of a task that is queued at its worker.
func (e *Engine) needsRow(r *model.Report) bool {
	t := e.tasks[r.ID]
	return t == nil || r.Status == model.ReportFailed || r.Status == model.ReportRejected ||
		r.Status == model.ReportQueued && !t.knowsAssignedAs()
}

// decide applies what one worker reports about one attempt.
func (r Report) decide(e *Engine) Answer {
	w := e.workers[r.Worker]
	if w == nil {
		return e.reportUnregistered(&r)
	}
	w.reportedAt = e.now
	switch action := e.applyReport(w, e.tasks[r.ID], &r.Report); {
	case action == actionDefer:
		return Answer{Err: model.Errorf(model.CodeUnavailable,
			"the dispatcher has just started and does not know the task %s: say it again later", r.ID).For(r.ID)}
	case action.dropReason() != "":
		reason := action.dropReason()
		return Answer{
			Err:  model.Errorf(model.CodeConflict, "the worker %s does not hold attempt %d of the task %s: %s", w.ID, r.Attempt, r.ID, reason).For(r.ID),
			Drop: &model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: reason},
		}
	}
	return Answer{}
}

// reportUnregistered refuses the report of a worker that has sent no heartbeat. The
// worker must not drop what it may take back after its first heartbeat.
func (e *Engine) reportUnregistered(r *Report) Answer {
	answer := Answer{Err: model.Errorf(model.CodeConflict, "the worker %s is not registered: it must send a heartbeat first", r.Worker).For(r.ID)}
	if reason := e.classifyReport(e.tasks[r.ID], nil, r.Worker, &r.Report).dropReason(); reason != "" {
		answer.Drop = &model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: reason}
	}
	return answer
}

// applyReport takes the action of [reportRules] on a report about t, nil if the task
// is not live, and returns it.
func (e *Engine) applyReport(w *worker, t *task, r *model.Report) reportAction {
	action := e.classifyReport(t, w, w.ID, r)
	if action == actionDropHigher {
		e.recordHigherAttempt(t, w.ID, r.Attempt)
	}
	if !action.applies() {
		if r.Status.Finished() && w.dropping[r.ID].attempt == r.Attempt {
			e.finishDrop(w, r.ID) // it has ended by itself
		}
		return action
	}
	if t.run == nil {
		e.reclaim(w, t)
	}
	t.run.lastHeartbeat = w.heartbeats
	e.finishDrop(w, t.ID) // an earlier attempt of it, which this one has superseded there
	e.renewLease(t)
	switch action {
	case actionProgress:
		e.markBegun(t)
		e.applyProgress(t, r)
	case actionRenew:
		e.markBegun(t)
	case actionQueue:
		e.applyQueued(t)
	case actionComplete:
		e.completeTask(t, r)
	case actionFail:
		t.run.recordProgress(r)
		e.countBytes(t)
		e.endAttempt(t, failureOutcome(r.Error.Class), r.Error)
		e.failAttempt(t, r.Error, r.RetryAfter)
	case actionReject:
		e.rejectAttempt(t, r)
	}
	return action
}

// classifyReport returns the action of [reportRules] on a report about t, nil if the
// task is not live. w is nil for a worker that is not registered.
func (e *Engine) classifyReport(t *task, w *worker, name string, r *model.Report) reportAction {
	k := reportKey{worker: workerOther, attempt: attemptCurrent, status: statusOf(r.Status)}
	var last string // the worker that holds the task, or held it last
	var attempt int64
	if t != nil {
		k.task, last, attempt = t.reported()
	} else {
		k.task, last, attempt = e.reportedEnded(r.ID)
	}
	switch {
	case last == name && w != nil && w.left:
		k.worker = workerDeparted // a message that it sent before it left may arrive after that
	case last == name:
		k.worker = workerHolder
	}
	switch {
	case r.Attempt < attempt:
		k.attempt = attemptLower
	case r.Attempt > attempt:
		k.attempt = attemptHigher
	}
	return reportIndex[k.index()]
}

func statusOf(s model.ReportStatus) reportedStatus {
	switch s {
	case model.ReportDownloading:
		return statusDownloading
	case model.ReportCompleted:
		return statusCompleted
	case model.ReportFailed:
		return statusFailed
	case model.ReportRejected:
		return statusRejected
	case model.ReportQueued:
		return statusQueued
	}
	return statusPaused
}

// reported returns the state of a live task, its last worker and its attempt.
func (t *task) reported() (state reportedTask, last string, attempt int64) {
	switch {
	case t.run != nil:
		return taskAssigned, t.run.worker.ID, t.attempt
	case t.status() == model.StatusPaused:
		state = taskPaused
	case t.reclaimable:
		state = taskLost
	default:
		state = taskPending
	}
	return state, t.extraOrZero().lastWorker, t.attempt
}

// reportedEnded is reported for a task that is not live: it ended in this turn, or it
// has ended in the store, or it is not there.
func (e *Engine) reportedEnded(id string) (state reportedTask, last string, attempt int64) {
	if e.isUnloadable(id) {
		return taskUndecided, "", 0
	}
	var status model.Status
	if t := e.turn.ended[id]; t != nil {
		status, last, attempt = t.status(), t.extraOrZero().lastWorker, t.attempt
	} else if row := e.row(id); row != nil {
		status, last, attempt = row.Status, row.LastWorkerID, row.Attempt
	}
	switch {
	case status == model.StatusCanceled:
		state = taskCanceled
	case status == model.StatusCompleted:
		state = taskCompleted
	case status != "":
		state = taskFailed
	case e.importing || e.alive < e.graceEnds:
		state = taskUndecided
	default:
		state = taskUnknown
	}
	return state, last, attempt
}

// recordHigherAttempt notes that a worker reports a higher attempt than the store has:
// the next attempt must be above both.
func (e *Engine) recordHigherAttempt(t *task, worker string, attempt int64) {
	if attempt <= t.maxSeenAttempt() || attempt > maxReportedAttempt {
		return
	}
	e.addNote(t.ID, worker, "the worker names a higher attempt than the store: the store was rolled back")
	t.ensureExtra().maxSeen = attempt
}

// renewLease notes that the holder knows of the attempt.
func (e *Engine) renewLease(t *task) {
	if t.run.isUnconfirmed {
		t.run.isUnconfirmed = false
		e.addFact(Fact{Kind: FactAcknowledged, Took: e.steady.Sub(t.run.assignedAt), Trace: t.trace()})
	}
	e.endDoubt(t)
	t.run.listBy, t.run.isResent = 0, false
	e.updateWatch(t)
}

// reclaim returns a task to the worker that held it last, before it was given
// away: its bytes are kept, and its attempt's timeout continues. In a queue of the worker it has
// the place of the priority with which it came there.
func (e *Engine) reclaim(w *worker, t *task) {
	if w.lost && !w.left {
		e.revive(w)
	}
	e.hold(w, t)
	t.run.assignedAs = t.extraOrZero().assignedAs
}

// applyProgress notes the progress, and the start where it is news.
func (e *Engine) applyProgress(t *task, r *model.Report) {
	p := progressFrom(r)
	if t.rejections != 0 {
		t.rejections = 0
	}
	if p.completed > t.knownBytes() {
		e.index.EndTrial(&t.Task, true)
	}
	if t.status() != model.StatusDownloading {
		e.setProgress(t, p)
		e.countBytes(t)
		state := p.state()
		state.Status, state.WorkerID, state.StartedAt = model.StatusDownloading, t.workerID(), e.now
		e.changeState(t, model.SetStatus|model.SetWorker|model.SetStarted|model.SetGID|model.SetProgress, state)
		if p.completed > 0 { // the event of the start has no figures
			e.emitProgress(t, p)
		}
		return
	}
	moved := p.completed != t.run.progress.completed || p.total != t.run.progress.total
	t.run.hasUnsent = t.run.hasUnsent || p != t.run.progress
	if p.completed > t.run.progress.completed {
		e.noteSteady(t)
	}
	e.setProgress(t, p)
	if moved {
		e.countBytes(t)
	}
	if moved && !t.run.dirty {
		t.run.dirty = true
		e.dirtyProgress = append(e.dirtyProgress, t)
	}
	if t.run.hasUnsent && e.steady-t.run.progressSentAt >= 1000 {
		e.emitProgress(t, p)
	}
}

// applyQueued notes that the worker holds the task and has not begun it. A task that it takes
// back after a silence is assigned to it again.
func (e *Engine) applyQueued(t *task) {
	e.findAssignedAs(t)
	if t.status() == model.StatusPending {
		e.changeState(t, model.SetStatus|model.SetWorker, model.TaskState{Status: model.StatusQueued, WorkerID: t.workerID()})
	}
	e.listQueued(t)
}

// emitProgress publishes how far a task is. There is at most one event a second: figures
// that come earlier are sent with a later report, also if the download stands still then.
func (e *Engine) emitProgress(t *task, p progress) {
	t.run.progressSentAt, t.run.hasUnsent = e.steady, false
	e.turn.plan.Progress = append(e.turn.plan.Progress, model.ProgressEvent{
		ID: t.ID, Client: t.Client.Name, WorkerID: t.workerID(), Attempt: t.attempt, Progress: p.percent,
		CompletedLength: p.completed, TotalLength: p.total, DownloadSpeed: p.speed, At: e.now,
	})
}

func (e *Engine) completeTask(t *task, r *model.Report) {
	result := model.Result{TotalLength: r.TotalLength}
	if r.Result != nil {
		result = *r.Result
	}
	e.index.EndTrial(&t.Task, true)
	e.blameSuspects(t)
	if result.Files == nil {
		result.Files = []model.File{} // a list in JSON
	}
	result.WorkerID = t.workerID()
	p := progressFrom(r)
	p.percent = 100
	p.completed = max(r.CompletedLength, result.TotalLength)
	p.total = max(r.TotalLength, result.TotalLength)
	e.setProgress(t, p)
	e.countBytes(t)
	e.endAttempt(t, model.OutcomeCompleted, nil)
	e.endTask(t, model.StatusCompleted, nil, &result)
}

// rejectAttempt assigns a task elsewhere without counting a failure, and with a wait after
// every worker has rejected it.
func (e *Engine) rejectAttempt(t *task, r *model.Report) {
	why := &model.TaskError{Code: 1, Class: model.ClassWorker, Message: "rejected by " + t.workerID(), Waits: int(t.extraOrZero().waits)}
	if r.Error != nil && r.Error.Message != "" {
		why.Message += ": " + r.Error.Message
		why.Code, why.HTTPStatus, why.Host = cmp.Or(r.Error.Code, 1), r.Error.HTTPStatus, r.Error.Host
	}
	e.endAttempt(t, model.OutcomeRejected, why)
	var wait model.Duration
	if t.rejections < math.MaxInt16 {
		t.rejections++
	}
	if t.rejections >= maxAvoidances {
		wait = e.backoff(t, t.rejections-maxAvoidances+1)
	}
	e.requeue(t, why, wait, true)
}

// recordProgress notes the progress that a failed attempt reports.
func (run *run) recordProgress(r *model.Report) {
	if r.TotalLength > 0 {
		run.progress.total = r.TotalLength
	}
	if r.CompletedLength > 0 {
		run.progress.completed, run.progress.percent = r.CompletedLength, r.Progress
	}
}

// failAttempt counts a failed attempt and decides whether there is another. after is the wait
// that the server asked for, 0 if it did not.
func (e *Engine) failAttempt(t *task, why *model.TaskError, after model.Duration) {
	after = e.acceptRetryAfter(why, after)
	free := after > 0 && int(t.extraOrZero().waits) < e.cfg.RetryAfterFree
	if free {
		t.ensureExtra().waits++
	} else {
		t.failures = clampCount(int(t.failures) + 1)
	}
	waits, seconds := int(t.extraOrZero().waits), int(after.Std()/time.Second)
	if why.Waits != waits || why.RetryAfter != seconds {
		own := *why // the worker's, which says neither
		own.Waits, own.RetryAfter = waits, seconds
		own.Code = cmp.Or(own.Code, 1)
		why = &own
	}
	if after > 0 {
		host := ""
		if row := e.row(t.ID); row != nil {
			host = row.Host()
		}
		e.index.CoolDown(&t.Task, host, e.steady.Add(after))
	}
	w := t.run.worker
	if after == 0 {
		t.suspect(w, why)
	}
	w.ErrorHistory = append(w.ErrorHistory, model.ErrorEntry{At: e.now, Task: t.ID, Message: why.Message})
	if n := len(w.ErrorHistory) - model.MaxErrorHistory; n > 0 {
		w.ErrorHistory = append([]model.ErrorEntry(nil), w.ErrorHistory[n:]...)
	}
	switch {
	case why.Class == model.ClassPermanent || t.failures >= t.maxAttempts:
		e.endTask(t, model.StatusFailed, why, nil)
	case why.Class == model.ClassWorker && e.index.CanServe(&t.Task, w.ID):
		e.requeue(t, why, 0, true)
	case after > 0:
		if !free {
			after = max(after, e.backoff(t, t.failures))
		}
		t.ensureExtra().asked = true
		e.requeue(t, why, after, false)
	default:
		e.requeue(t, why, e.backoff(t, t.failures), e.shouldTryElsewhere(t, why))
	}
}

// endTask makes a task terminal. A worker that holds it, and did not report this end
// itself, still has to stop.
func (e *Engine) endTask(t *task, status model.Status, why *model.TaskError, result *model.Result) {
	set := model.SetStatus | model.SetWorker | model.SetFailures | model.SetRetryAt | model.SetError | model.SetResult | model.SetFinished
	state := model.TaskState{}
	if t.run != nil {
		state = t.run.progress.final()
		set |= model.SetProgress | model.SetGID | model.SetLastWorker
		state.LastWorkerID = t.workerID()
		e.release(t, status == model.StatusCanceled)
	}
	state.Status, state.Error, state.Result = status, why, result
	state.Failures, state.Losses = int(t.failures), int(t.losses)
	state.FinishedAt = e.now
	e.changeState(t, set, state)
	e.addFact(Fact{Kind: FactFinished, Status: status, Client: t.Client.Name, Took: max(e.now.Sub(t.Created), 0), Trace: t.trace()})
	e.removeTask(t)
}

func progressFrom(r *model.Report) progress {
	return progress{gid: r.GID, percent: r.Progress, completed: r.CompletedLength, total: r.TotalLength, speed: r.DownloadSpeed}
}
