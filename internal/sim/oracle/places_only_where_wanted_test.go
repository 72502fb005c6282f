package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestPlacesOnlyWhereWanted_DrainedWorkerRefused: a task is assigned only to a worker that is ready, healthy and not drained.
func TestPlacesOnlyWhereWanted_DrainedWorkerRefused(t *testing.T) {
	play(t, "places-only-where-wanted", []testCase{
		{"a ready worker", false, func(h *history) {
			h.started()
		}},
		{"a worker that drains", true, func(h *history) {
			h.heartbeat("w1", func(b *model.Heartbeat) { b.State = model.StateDraining })
			h.submit("t1")
			h.assign("t1", "w1")
		}},
		{"an exhausted worker", true, func(h *history) {
			h.heartbeat("w1", func(b *model.Heartbeat) {
				b.HealthMetrics = model.HealthMetrics{CPUUsage: 100, MemoryUsage: 100, DiskUsage: 100}
			})
			h.submit("t1")
			h.assign("t1", "w1")
		}},
	})
}
