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

// isLow reports whether the area is under the floor: then nothing is begun in it,
// and what runs pauses with its bytes kept. Once under it, an area must have an
// eighth more to be used again, so that what it pauses does not start and stop.
func (a *downloadDir) isLow(free, floor int64) bool {
	if a.low {
		floor += floor / 8
	}
	return free >= 0 && free < floor
}

// applyFreeSpace takes in how much space each area has.
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
		} else {
			w.log.Info("there is space again: downloads go on", "dir", a.path, "free", bytes)
		}
		w.scheduleReconcile()
		w.scheduleHeartbeat()
	}
}

// setPaused notes that the engine has let go of a task whose disk is nearly full. It
// keeps its slot, and the engine gets it again when there is space.
func (h *heldTask) setPaused() {
	h.paused, h.givenVersion = true, 0
	h.report.Status, h.report.DownloadSpeed = model.ReportPaused, 0
}
