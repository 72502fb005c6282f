package oracle

import (
	"testing"
)

// TestFirstCome_LaterTaskOvertakingRefused: tasks of one client and priority are assigned in the order of their submits.
func TestFirstCome_LaterTaskOvertakingRefused(t *testing.T) {
	play(t, "first-come-first-served", []testCase{
		{"the earlier task", false, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.submit("t2")
			h.assign("t1", "w1")
		}},
		{"the later task", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.submit("t2")
			h.assign("t2", "w1")
		}},
	})
}
