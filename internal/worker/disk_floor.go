package worker

import (
	"context"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// freeSpace returns the free bytes of the file system of path, -1 if it cannot be
// measured.
func freeSpace(ctx context.Context, path string) int64 {
	usage, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return -1
	}
	return int64(usage.Free)
}

// isLow reports whether the folder has less than floor bytes free. Then no task starts in
// it, and its downloads pause and keep their bytes. A low folder must have an eighth more
// to be used again, so that its downloads do not start and stop repeatedly.
func (a *downloadDir) isLow(free, floor int64) bool {
	if a.low {
		floor += floor / 8
	}
	return free >= 0 && free < floor
}

// applyFreeSpace applies the measured free space of each folder.
func (w *Worker) applyFreeSpace(free map[*downloadDir]int64) {
	for a, bytes := range free {
		low := a.isLow(bytes, w.cfg.DiskFloor)
		if low == a.low {
			continue
		}
		a.low = low
		if low {
			w.log.Warn("the disk is nearly full: downloads pause, and nothing new is taken",
				"dir", a.path, "free", bytes, "floor", w.cfg.DiskFloor)
			w.returnQueued(func(h *heldTask) *model.Report { return w.checkTask(h.Task) })
		} else {
			w.log.Info("there is space again: downloads continue", "dir", a.path, "free", bytes)
		}
		w.scheduleReconcile()
		w.scheduleHeartbeat()
	}
}

// setPaused marks a task as paused after the engine has removed it because of a full
// disk. The task keeps its slot. The engine gets it again when space is free.
func (h *heldTask) setPaused() {
	h.paused, h.transferred, h.givenVersion = true, false, 0
	h.report.Status, h.report.DownloadSpeed = model.ReportPaused, 0
}
