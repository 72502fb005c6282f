package oracle

import (
	"testing"
)

// TestHostLimits_TaskAboveLimitRefused: no more tasks than the limit run at one host.
func TestHostLimits_TaskAboveLimitRefused(t *testing.T) {
	play(t, "host-limits", []testCase{
		{"one task at the host", false, func(h *history) {
			h.cfg.PerHost = 1
			h.started()
		}},
		{"two tasks at the host", true, func(h *history) {
			h.cfg.PerHost = 1
			h.started()
			h.submit("t2")
			h.assign("t2", "w1")
		}},
	})
}
