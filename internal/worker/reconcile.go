package worker

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// reconciliation is one comparison of the jobs that the engine should have with those
// that it has. It runs in its own goroutine on copies and does not change the state of
// the loop.
type reconciliation struct {
	wanted   []wantedJob
	toRemove []*heldTask // jobs that the engine must remove
	toKeep   []string    // ids of complete jobs whose placement waits for the journal

	free       map[*downloadDir]int64 // bytes; -1 if unknown
	states     map[string]download.State
	err        error // of Poll: then the states are unknown
	startErrs  map[*heldTask]error
	removeErrs map[*heldTask]error
}

// wantedJob is the job that the engine should have for one task.
type wantedJob struct {
	held    *heldTask // only used by the loop
	task    *model.Task
	dir     *downloadDir
	version int
	restart bool // the engine may have another version of the job
}

// startReconcile starts a reconciliation of all held tasks.
func (w *Worker) startReconcile(now time.Time) {
	p := &reconciliation{free: make(map[*downloadDir]int64), startErrs: make(map[*heldTask]error), removeErrs: make(map[*heldTask]error)}
	for _, h := range w.tasks {
		switch {
		case h.belongsInEngine():
			p.wanted = append(p.wanted, wantedJob{h, h.Task, h.dir, h.wantedVersion, h.wantedVersion != h.givenVersion})
		case h.moving:
		case h.unjournaled && h.drop == nil:
			p.toKeep = append(p.toKeep, h.id())
		case h.drop != nil, h.Phase == phaseMoving && h.stuck, h.Phase == phaseAccepted && !h.paused && !h.queued:
			p.toRemove = append(p.toRemove, h)
		}
	}
	w.reconciling, w.lastReconcile = true, now
	w.nextReconcile = now.Add(pollInterval)
	if len(w.tasks) == 0 {
		w.nextReconcile = now.Add(idlePoll)
	}
	ids := make(map[*heldTask]string, len(p.toRemove))
	for _, h := range p.toRemove {
		ids[h] = h.id()
	}
	engine, measure, began := w.engine, w.free, now
	if w.cfg.DiskFloor > 0 && now.Sub(w.lastMeasured) >= measureInterval {
		w.lastMeasured = now
		for _, a := range w.distinctDirs() {
			p.free[a] = -1
		}
	}
	w.runAsync(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
		defer cancel()
		for a := range p.free {
			p.free[a] = measure(ctx, a.path)
		}
		p.run(ctx, engine, ids)
		took := time.Since(began)
		return func() {
			w.pollGap = min(max(pollShare*took, minPoll), maxPoll)
			w.finishReconcile(p)
		}
	})
}

func (p *reconciliation) run(ctx context.Context, engine download.Engine, release map[*heldTask]string) {
	known := make(map[string]bool, len(p.wanted)+len(release))
	removing, cancel := context.WithTimeout(ctx, removesTimeout)
	defer cancel()
	for h, id := range release {
		known[id] = true
		p.removeErrs[h] = removeJob(removing, engine, id)
	}
	if p.states, p.err = engine.Poll(ctx); p.err != nil {
		return
	}
	for id, state := range p.states {
		p.states[id] = state.Clamped()
	}
	for _, want := range p.wanted {
		known[want.task.ID] = true
	}
	for _, id := range p.toKeep {
		known[id] = true
	}
	for id := range p.states {
		if !known[id] {
			_ = removeJob(removing, engine, id) // if it fails, the next pass finds it again
		}
	}
	for _, want := range p.wanted {
		_, isThere := p.states[want.task.ID]
		if isThere && !want.restart {
			p.startErrs[want.held] = nil
			continue
		}
		want.restart = isThere
		delete(p.states, want.task.ID)
		p.startErrs[want.held] = startJob(ctx, removing, engine, want)
	}
}

// removeJob removes a job from the engine. A job that does not stop must not delay the
// others: the engine keeps stopping it, and the next pass asks again.
func removeJob(ctx context.Context, engine download.Engine, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	return engine.Remove(ctx, id)
}

// startJob adds a job to the engine. A *[refusal] is final for this attempt.
func startJob(ctx, removing context.Context, engine download.Engine, want wantedJob) error {
	if err := ctx.Err(); err != nil {
		return err // the earlier calls took all the time; the next pass continues
	}
	if want.restart {
		if err := removeJob(removing, engine, want.task.ID); err != nil {
			return err
		}
	}
	if err := want.dir.checkDestination(want.task); err != nil {
		return err
	}
	dir, fresh, err := want.dir.jobDir(want.task.ID)
	if err != nil {
		return jobDirError(err)
	}
	return engine.Add(ctx, download.Job{Task: want.task, Dir: dir, Fresh: fresh})
}

// finishReconcile applies the result of a reconciliation.
func (w *Worker) finishReconcile(p *reconciliation) {
	now := time.Now()
	w.reconciling = false
	switch {
	case w.asyncCtx.Err() != nil:
		return // the calls were canceled: the result is unknown
	case p.err != nil:
		w.warnThrottled(&w.engineLog, "the engine does not answer", "error", p.err)
	default:
		w.lastPoll = now
	}
	w.applyFreeSpace(p.free)
	if state, reason := w.state(now); state != w.lastState {
		w.scheduleHeartbeat() // the dispatcher starts or stops assigning tasks
		if state == model.StateError {
			w.returnQueued(func(*heldTask) *model.Report {
				return rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker, "%s", reason)
			})
		}
	}
	var sum passTotals
	for i := range p.wanted {
		f := p.find(w.tasks, &p.wanted[i])
		if f.held.startedAt.IsZero() {
			f.held.startedAt = now
		}
		outcomeHandlers[f.outcome](w, &f, now, &sum)
	}
	w.stats.addProgress(now, sum.speed, sum.gained)
	w.counts.downloaded.Add(max(sum.gained, 0))
	w.journalPlacements(sum.complete)
	for h, err := range p.removeErrs {
		w.onReleased(h, err)
	}
}

// onReleased continues with a task whose job the engine has removed.
func (w *Worker) onReleased(h *heldTask, err error) {
	switch {
	case w.tasks[h.id()] != h:
	case err != nil:
		w.warnThrottled(&w.engineLog, "the engine does not let go of a task", "task", h.id(), "attempt", h.Attempt, "error", err)
	case h.drop != nil:
		w.finishDrop(h)
	case h.Phase == phaseAccepted:
		h.setPaused()
	default:
		h.released, h.stuck = true, false
	}
}

// journalPlacements writes complete downloads to the journal as moving. Their files are
// moved after the engine has removed the jobs.
func (w *Worker) journalPlacements(complete []*heldTask) {
	for _, h := range complete {
		h.Phase, h.unjournaled = phaseMoving, true
		w.journal.put(&h.entry, func(err error) { w.onPlacementJournaled(h, err) })
	}
}

// onPlacementJournaled is called when the journal has a placement. A download whose entry
// cannot be written is complete again at the next pass: without the entry its own files
// would block it after a crash.
func (w *Worker) onPlacementJournaled(h *heldTask, err error) {
	h.unjournaled = false
	if err != nil {
		h.Phase, h.Place = phaseAccepted, nil
		w.warnThrottled(&w.diskLog, "a finished download cannot be moved yet", "task", h.id(), "attempt", h.Attempt, "error", err)
	} else {
		_, total := h.Place.results()
		h.report.Progress, h.report.CompletedLength, h.report.TotalLength, h.report.DownloadSpeed = 100, total, total, 0
		h.released = false
	}
}

// startMoves removes complete jobs from the engine and moves their files, maxMoves at once.
func (w *Worker) startMoves() {
	for _, h := range w.tasks {
		if w.moves >= maxMoves {
			return
		}
		if h.Phase != phaseMoving || h.unjournaled || h.stuck || h.moving || h.drop != nil {
			continue
		}
		h.moving = true
		h.Place.gather = w.gathering()
		w.moves++
		id, dir, place, released, engine := h.id(), h.dir, h.Place, h.released, w.engine
		w.runAsync(func(ctx context.Context) func() {
			if !released {
				if err := removeJob(ctx, engine, id); err != nil {
					return func() { w.onStuck(h, err) }
				}
			}
			err := dir.placeFiles(id, place)
			return func() { w.finishMove(h, err) }
		})
	}
}

// onStuck leaves a job that the engine did not remove to the reconciliation.
func (w *Worker) onStuck(h *heldTask, err error) {
	h.moving, h.stuck = false, true
	w.moves--
	w.onReleased(h, err)
	w.scheduleReconcile()
}

// finishMove ends a download, or starts it again if its files are lost.
func (w *Worker) finishMove(h *heldTask, err error) {
	h.moving, h.released = false, true
	w.moves--
	var no *refusal
	switch {
	case errors.Is(err, errFilesLost):
		w.log.Warn("finished files are gone; the task begins again", "task", h.id(), "attempt", h.Attempt)
		h.Phase, h.Place, h.released = phaseAccepted, nil, false
		h.wantedVersion++
		w.persist(h)
	case errors.As(err, &no) && no.code == codeExists && h.Place.Single && waitedForDuplicate(h.Task):
		// The task that it waited for has taken the name.
		h.Place, h.unjournaled = &placement{Files: h.Place.Files, Target: h.id()}, true
		w.persist(h)
	case errors.As(err, &no):
		w.failTask(h, taskError(no.code, no.class, no.message))
	case err != nil:
		w.failTask(h, taskError(download.CodeFileIO, model.ClassWorker, err.Error()))
	default:
		files, total := h.Place.results()
		w.failTaken(h)
		w.finishTask(h, &model.Report{
			Status: model.ReportCompleted, GID: h.report.GID, Error: h.report.Error,
			Progress: 100, CompletedLength: total, TotalLength: total,
			Result: &model.Result{Files: boundFiles(files), TotalLength: total, WorkerID: w.cfg.Name},
		})
	}
	w.scheduleReconcile()
}

// maxRetryAfter is [model.MaxRetryAfter] in seconds.
const maxRetryAfter = int(model.MaxRetryAfter / model.Duration(time.Second))

// failTask ends an attempt. The bytes stay for the next one.
func (w *Worker) failTask(h *heldTask, why *model.TaskError) {
	last := h.report
	last.Status, last.Error, last.DownloadSpeed = model.ReportFailed, taskError(why.Code, why.Class, why.Message), 0
	last.Error.HTTPStatus, last.Error.Host = why.HTTPStatus, why.Host
	last.RetryAfter = model.Duration(min(max(why.RetryAfter, 0), maxRetryAfter)) * model.Seconds(1)
	w.finishTask(h, &last)
}

// finishTask stores the final report, which is repeated until it is acknowledged.
func (w *Worker) finishTask(h *heldTask, last *model.Report) {
	h.setFinalReport(last)
	w.journal.put(&h.entry, nil) // after a crash the earlier entry leads to the same report
	if last.Status != model.ReportRejected {
		w.stats.countFinished(last)
	}
	w.counts.countEnd(last)
	w.logEnd(h, last)
	w.scheduleReconcile()
}

// persist writes a changed task to the journal. If it cannot be written, the worker acts
// anyway: after a crash the earlier entry leads to the same result.
func (w *Worker) persist(h *heldTask) {
	put := w.journal.put
	if h.Phase == phaseAccepted {
		put = w.journal.putSoon
	}
	put(&h.entry, func(err error) {
		h.unjournaled = false
		if err != nil {
			w.log.Error("the journal cannot be written", "task", h.id(), "attempt", h.Attempt, "error", err)
		}
	})
}
