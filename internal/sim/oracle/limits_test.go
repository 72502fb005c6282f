package oracle

import (
	"fmt"
	"testing"
)

// TestLimits_TaskAboveLimitRefused: no submit is accepted above max_pending or client_pending.
func TestLimits_TaskAboveLimitRefused(t *testing.T) {
	play(t, "limits", []testCase{
		{"as many as the limit", false, func(h *history) {
			for i := range 4 {
				h.submit(fmt.Sprint("t", i))
			}
		}},
		{"one more than the client's limit", true, func(h *history) {
			for i := range 5 {
				h.submit(fmt.Sprint("t", i))
			}
		}},
	})
}
