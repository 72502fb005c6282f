package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestPrioritiesFirst_LowerPriorityRefused: a task of a higher priority is assigned first.
func TestPrioritiesFirst_LowerPriorityRefused(t *testing.T) {
	play(t, "priorities-first", []testCase{
		{"the higher priority", false, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.submit("t2", urgent)
			h.assign("t2", "w1")
		}},
		{"the lower priority", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.submit("t2", urgent)
			h.assign("t1", "w1")
		}},
	})
}

func urgent(t *model.Task) { t.Priority = model.PriorityUrgent }
