package worker

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// busySlots is the number of slots in use, unfinished that of all unfinished tasks.
func (w *Worker) busySlots() (busy, unfinished int) {
	for _, h := range w.tasks {
		if h.isUnfinished() {
			unfinished++
		}
		if h.occupiesSlot() {
			busy++
		}
	}
	return busy, unfinished
}

// refuseFull returns the rejection of an assignment for which this worker has no room,
// nil for any other. One with a time limit needs a slot, since its time passes already.
func (w *Worker) refuseFull(a *model.Assignment) *model.Report {
	busy, unfinished := w.busySlots()
	switch {
	case unfinished >= w.cfg.Slots+w.cfg.Prefetch && w.cfg.Prefetch > 0:
		return rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker,
			"all %d slots are in use, and %d tasks wait for one", w.cfg.Slots, w.cfg.Prefetch)
	case unfinished >= w.cfg.Slots+w.cfg.Prefetch, a.TimeoutLeft > 0 && busy >= w.cfg.Slots:
		return rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker,
			"all %d slots are in use", w.cfg.Slots)
	}
	return nil
}

// enqueue has a task wait for a slot. beginQueued begins it, in the same turn of the loop
// if a slot is free.
func (w *Worker) enqueue(h *heldTask) {
	w.arrivals++
	h.queued, h.arrived = true, w.arrivals
	h.report.Status = model.ReportQueued
}

// beginQueued begins queued tasks in the free slots: the highest priority first, then the
// first that arrived. The dispatcher learns it from the report of the download.
func (w *Worker) beginQueued() {
	busy, unfinished := w.busySlots()
	if busy == unfinished || busy >= w.cfg.Slots {
		return
	}
	waiting := make([]*heldTask, 0, unfinished-busy)
	for _, h := range w.tasks {
		if h.queued && h.drop == nil {
			waiting = append(waiting, h)
		}
	}
	slices.SortFunc(waiting, func(a, b *heldTask) int {
		return cmp.Or(cmp.Compare(b.Task.Priority, a.Task.Priority), cmp.Compare(a.arrived, b.arrived))
	})
	for _, h := range waiting[:min(len(waiting), w.cfg.Slots-busy)] {
		h.queued = false
		h.report.Status = model.ReportDownloading
	}
	w.scheduleReconcile()
}

// returnQueued gives back each queued task for which refuse returns a rejection: another
// worker may begin it at once.
func (w *Worker) returnQueued(refuse func(*heldTask) *model.Report) {
	for _, h := range w.tasks {
		if !h.queued || h.drop != nil {
			continue
		}
		if no := refuse(h); no != nil {
			w.reject(h.Task, h.Attempt, no)
		}
	}
}

// recoverQueue restores which tasks of the journal are queued. The journal does not say
// it: a task that has a part folder was begun, and is begun again before the others.
// A task with a time limit is always begun.
func (w *Worker) recoverQueue() {
	var waiting []*heldTask
	begun := make(map[*heldTask]bool)
	for _, h := range w.tasks {
		if h.Phase == phaseAccepted && h.Task.Timeout == 0 {
			_, err := h.dir.parts.Lstat(h.id())
			begun[h] = err == nil
			waiting = append(waiting, h)
		}
	}
	slices.SortFunc(waiting, func(a, b *heldTask) int {
		return cmp.Or(cmp.Compare(a.Task.AssignedAt, b.Task.AssignedAt), cmp.Compare(a.Task.CreatedAt, b.Task.CreatedAt), cmp.Compare(a.id(), b.id()))
	})
	busy, _ := w.busySlots()
	busy -= len(waiting)
	for _, h := range waiting {
		if begun[h] && busy < w.cfg.Slots {
			busy++
			continue
		}
		w.enqueue(h)
	}
}
