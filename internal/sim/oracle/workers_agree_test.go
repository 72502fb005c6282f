package oracle

import (
	"testing"
)

// TestWorkersAgree_HeldTaskRefused: at the end no worker holds a task.
func TestWorkersAgree_HeldTaskRefused(t *testing.T) {
	play(t, "workers-agree", []testCase{
		{"no held task", false, func(h *history) {
			h.CheckAllEnded()
		}},
		{"a held task", true, func(h *history) {
			h.CheckHoldsNothing("w1", "t1", 1)
		}},
	})
}
