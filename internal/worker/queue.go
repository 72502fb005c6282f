package worker

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// usage counts the unfinished tasks.
type usage struct {
	slots  int // slots in use
	begun  int // these, and the tasks whose files are being placed
	queued int
}

func (u usage) unfinished() int { return u.begun + u.queued }

func (w *Worker) usage() (u usage) {
	for _, h := range w.tasks {
		switch {
		case !h.isUnfinished():
		case h.queued:
			u.queued++
		case h.occupiesSlot():
			u.slots++
			u.begun++
		default:
			u.begun++
		}
	}
	return u
}

// refuseFull returns the rejection of an assignment for which this worker has no room,
// nil for any other. One with a time limit needs a slot, since its time passes already.
func (w *Worker) refuseFull(a *model.Assignment) *model.Report {
	u := w.usage()
	switch full := u.unfinished() >= w.cfg.Slots+w.cfg.Prefetch; {
	case full && w.cfg.Prefetch > 0:
		return rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker,
			"all slots are in use (%d), and all places to wait for one (%d)", w.cfg.Slots, w.cfg.Prefetch)
	case full, a.TimeoutLeft > 0 && u.slots >= w.cfg.Slots:
		return rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker,
			"all slots are in use (%d)", w.cfg.Slots)
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
// first that arrived. The dispatcher learns it from the report of the download. It begins
// none while as many tasks as slots are being placed: the disk is behind.
func (w *Worker) beginQueued() {
	u := w.usage()
	free := min(w.cfg.Slots-u.slots, 2*w.cfg.Slots-u.begun)
	if u.queued == 0 || free <= 0 {
		return
	}
	waiting := make([]*heldTask, 0, u.queued)
	for _, h := range w.tasks {
		if h.queued && h.drop == nil {
			waiting = append(waiting, h)
		}
	}
	slices.SortFunc(waiting, func(a, b *heldTask) int {
		return cmp.Or(cmp.Compare(b.Task.Priority, a.Task.Priority), cmp.Compare(a.arrived, b.arrived))
	})
	for _, h := range waiting[:min(len(waiting), free)] {
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
	busy := w.usage().slots - len(waiting)
	for _, h := range waiting {
		if begun[h] && busy < w.cfg.Slots {
			busy++
			continue
		}
		w.enqueue(h)
	}
}
