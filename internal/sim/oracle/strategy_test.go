package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
)

// TestStrategy_BusierWorkerRefused: of several workers the strategy's choice gets the task.
func TestStrategy_BusierWorkerRefused(t *testing.T) {
	play(t, "strategy", []testCase{
		{"the worker with fewer tasks", false, func(h *history) {
			leastLoaded(h)
			h.assign("t2", "w2")
		}},
		{"the worker with more tasks", true, func(h *history) {
			leastLoaded(h)
			h.assign("t2", "w1")
		}},
	})
}

// leastLoaded gives the worker w1 a task, and w2 none; t2 waits.
func leastLoaded(h *history) {
	h.cfg.Strategy = placement.StrategyLeastLoaded
	h.heartbeat("w2")
	h.started()
	h.submit("t2")
	h.wait(1000)
}
