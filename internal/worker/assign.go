package worker

import (
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// assign accepts assignments. Each may be new, known, late, or replace an earlier
// attempt. The worker writes it to the journal before it acts on it. A new one need not be
// synced before: if a crash of the machine loses it, the heartbeat does not list it, and
// the dispatcher assigns it again, to bytes that are no worse than those of any other crash.
func (w *Worker) assign(list []model.Assignment) {
	if !w.admitted {
		w.assignLater(list)
		return
	}
	var taken []*heldTask
	for i := range list {
		if h := w.decideAssignment(&list[i]); h != nil {
			taken = append(taken, h)
		}
	}
	if len(taken) == 0 {
		return
	}
	for _, h := range taken {
		attempt, put := h.Attempt, w.journal.put
		if h.Phase == phaseAccepted {
			put = w.journal.putSoon
		}
		put(&h.entry, func(err error) { w.onTaken(h, attempt, err) })
	}
	w.scheduleReconcile()
}

// onTaken is called when the journal has an assignment, or could not be written.
func (w *Worker) onTaken(h *heldTask, attempt int64, err error) {
	switch {
	case err == nil:
		w.log.Info("task taken", "task", h.id(), "attempt", attempt, "url", model.RedactURL(h.Task.URL))
	case w.tasks[h.id()] == h && h.Attempt == attempt:
		w.log.Error("a task was not taken", "task", h.id(), "attempt", attempt, "error", err)
		w.reject(h.Task, attempt, rejection(model.ReportRejected, download.CodeDiskFull, model.ClassWorker, "%v", err))
	}
}

// decideAssignment decides about one assignment. It returns the task to put into the
// journal, nil without one.
func (w *Worker) decideAssignment(a *model.Assignment) *heldTask {
	if a.Task == nil || !model.ValidName(a.Task.ID) || a.Attempt <= 0 {
		w.log.Warn("an assignment names no task or no attempt", "attempt", a.Attempt)
		return nil
	}
	id := a.Task.ID
	cur := w.tasks[id]
	switch {
	case w.finished.has(id, a.Attempt, time.Now()):
		return nil
	case cur == nil && len(w.tasks) >= w.cfg.Slots+w.cfg.Prefetch+model.MaxBatch:
		return nil // a later heartbeat answer repeats it
	case cur == nil:
	case a.Attempt <= cur.Attempt:
		return nil
	case cur.drop != nil:
		if cur.nextAssignment == nil || cur.nextAssignment.Attempt < a.Attempt {
			cur.nextAssignment = a
		}
		return nil
	case cur.Phase == phaseMoving, cur.report.Status == model.ReportCompleted:
		cur.setAttempt(a) // complete: the attempt does not matter
		return cur
	}
	w.removeBreakingHeaders(a.Task, a.Attempt)
	if no := w.checkTask(a.Task); no != nil {
		w.reject(a.Task, a.Attempt, no)
		return nil
	}
	if no := w.refuseDuplicate(a.Task); no != nil {
		w.reject(a.Task, a.Attempt, no)
		return nil
	}
	if cur != nil && cur.isUnfinished() && cur.dir == w.dirs[a.Task.Folder] {
		if cur.Task.Hash() != a.Task.Hash() {
			cur.transferred = false
			cur.wantedVersion++ // another URL or option: the engine must start again from these bytes
		}
		cur.setAttempt(a)
		cur.Task, cur.duplicateKey = a.Task, duplicateKey(a.Task)
		return cur
	}
	if no := w.refuseFull(a); no != nil && (cur == nil || !cur.isUnfinished()) {
		w.reject(a.Task, a.Attempt, no)
		return nil
	}
	h := newHeldTask(&entry{Attempt: a.Attempt, Phase: phaseAccepted, Task: a.Task}, w.dirs[a.Task.Folder])
	h.counted = true
	if a.TimeoutLeft == 0 {
		w.enqueue(h)
	}
	w.tasks[id] = h
	return h
}

// removeBreakingHeaders removes from a task the headers that a submit may not have. A
// task that was stored or put into the journal before that rule may have them.
func (w *Worker) removeBreakingHeaders(t *model.Task, attempt int64) {
	kept, removed := t.Options.WithoutBreakingHeaders()
	if len(removed) > 0 {
		w.log.Warn("headers that break a download are left out", "task", t.ID, "attempt", attempt, "headers", removed)
		t.Options = kept
	}
}

// checkTask returns the refusal of a task that this worker cannot do, nil for any other.
// The dispatcher makes the same checks; neither relies on the other.
func (w *Worker) checkTask(t *model.Task) *model.Report {
	if err := t.TaskSpec.ValidateStored(); err != nil {
		return rejection(model.ReportFailed, download.CodeOption, model.ClassPermanent, "%v", err)
	}
	if w.dirs[t.Folder] == nil {
		return rejection(model.ReportRejected, download.CodeOption, model.ClassWorker,
			"folder: this worker has no folder %q", t.Folder)
	}
	if a := w.dirs[t.Folder]; a.low && !w.isActive(t) {
		return rejection(model.ReportRejected, download.CodeDiskFull, model.ClassWorker,
			"disk_floor: %s has less than %d bytes free", a.path, w.cfg.DiskFloor)
	}
	can := w.engine.Capabilities()
	scheme, speaks := t.Scheme(), false
	for _, p := range can.Protocols {
		speaks = speaks || p == scheme
	}
	if !speaks && !(scheme == "bt" && can.SupportsBT) && !(scheme == "metalink" && can.SupportsMetalink) {
		return rejection(model.ReportRejected, download.CodeOption, model.ClassWorker,
			"url: this worker does not fetch %s", scheme)
	}
	return nil
}

// isActive reports whether the task is begun here.
func (w *Worker) isActive(t *model.Task) bool {
	h := w.tasks[t.ID]
	return h != nil && h.isBegun()
}

func rejection(status model.ReportStatus, code int, class model.Class, format string, args ...any) *model.Report {
	return &model.Report{Status: status, Error: taskError(code, class, fmt.Sprintf(format, args...))}
}

// reject answers an assignment with a report. It is not in the journal: after a crash the
// heartbeat does not list it, which has the same effect.
func (w *Worker) reject(t *model.Task, attempt int64, no *model.Report) {
	w.log.Warn("task refused", "task", t.ID, "attempt", attempt, "status", no.Status, "reason", no.Error.Message)
	if cur := w.tasks[t.ID]; cur != nil && !cur.rejected {
		w.removeFromJournal(cur)
	}
	h := newHeldTask(&entry{Attempt: attempt, Phase: phaseFinished, Task: t}, w.dirs[""])
	h.setFinalReport(no)
	h.rejected = true
	w.counts.countEnd(no)
	w.tasks[t.ID] = h
	w.scheduleReconcile() // the engine may have an earlier attempt of it
}

// applyDrop stops an attempt. The heartbeat lists it until the engine has removed it.
func (w *Worker) applyDrop(d model.Drop) {
	now := time.Now()
	h := w.tasks[d.ID]
	switch {
	case !model.ValidName(d.ID) || d.Attempt <= 0:
	case h == nil:
		w.finished.add(d.ID, d.Attempt, now) // its assignment may arrive later
		if d.Reason == model.DropDeleted && d.Result != nil && !w.filesDeleted.has(d.ID, d.Attempt, now) {
			w.filesDeleted.add(d.ID, d.Attempt, now)
			w.deleteFiles(&d)
		}
		if d.Reason.RemovesBytes() {
			w.discardParts(d.ID)
		}
	case h.Attempt < d.Attempt:
		w.finished.add(d.ID, d.Attempt, now)
	case h.Attempt == d.Attempt && h.drop == nil:
		w.log.Info("task dropped", "task", d.ID, "attempt", d.Attempt, "reason", d.Reason)
		h.drop = &d
		w.scheduleReconcile()
	case h.Attempt == d.Attempt && d.Reason.RemovesBytes():
		h.drop = &d // paused first, then canceled
	}
}

// deleteFiles deletes the finished files of an attempt that is no longer held. Their
// names are from this worker's own report.
func (w *Worker) deleteFiles(d *model.Drop) {
	a := w.dirs[d.Folder]
	if a == nil || d.Result.WorkerID != w.cfg.Name {
		w.log.Warn("finished files are not here to be deleted", "task", d.ID, "attempt", d.Attempt, "folder", d.Folder)
		return
	}
	kept, err := a.deletePlaced(d.ID, d.Result.Files)
	if err != nil {
		w.log.Warn("deleting finished files", "task", d.ID, "attempt", d.Attempt, "error", err)
	}
	w.log.Info("finished files were deleted", "task", d.ID, "attempt", d.Attempt,
		"files", len(d.Result.Files)-len(kept), "not_deleted", kept)
}

// discardParts discards the bytes of a task that is not held.
func (w *Worker) discardParts(id string) {
	for _, a := range w.distinctDirs() {
		if err := a.discard(partDir(id)); err != nil {
			w.log.Warn("discarding bytes", "task", id, "error", err)
		}
	}
	w.emptyTrash()
}

// applyForget removes a task whose end the dispatcher knows.
func (w *Worker) applyForget(ref model.TaskRef) {
	h := w.tasks[ref.ID]
	switch {
	case h == nil || h.Attempt != ref.Attempt:
	case h.Phase == phaseFinished && h.drop == nil:
		w.removeTask(h)
	case h.Phase == phaseAccepted:
		// It completed before a restart, and the journal lost its end.
		w.applyDrop(model.Drop{ID: ref.ID, Attempt: ref.Attempt, Reason: model.DropSuperseded})
	}
}

// finishDrop ends a dropped task after the engine and the mover have released it.
func (w *Worker) finishDrop(h *heldTask) {
	if h.drop.Reason.RemovesBytes() {
		w.discardParts(h.id())
		if h.Place != nil {
			if err := h.dir.removePlaced(h.Place); err != nil {
				w.log.Warn("removing a canceled task's files", "task", h.id(), "error", err)
			}
		}
	}
	w.removeTask(h)
	w.scheduleHeartbeat() // its slot is free when a heartbeat omits it
	if h.nextAssignment != nil {
		w.assign([]model.Assignment{*h.nextAssignment})
	}
}

// removeTask removes a task. Its remaining bytes are kept for KeepOrphans.
func (w *Worker) removeTask(h *heldTask) {
	w.finished.add(h.id(), h.Attempt, time.Now())
	delete(w.tasks, h.id())
	w.removeFromJournal(h)
}

func (w *Worker) removeFromJournal(h *heldTask) {
	if h.report.Status != model.ReportCompleted { // else its bytes were moved
		if err := h.dir.orphan(h.id(), time.Now()); err != nil {
			w.log.Warn("marking orphaned bytes", "task", h.id(), "error", err)
		}
	}
	w.journal.remove(h.id())
}
