package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestTimeoutsEndAttempts_OverdueAttemptRefused: an attempt ends at the task's timeout.
func TestTimeoutsEndAttempts_OverdueAttemptRefused(t *testing.T) {
	play(t, "timeouts-end-attempts", []testCase{
		{"an attempt within its timeout", false, func(h *history) {
			h.started(func(t *model.Task) { t.Timeout = model.Seconds(90) })
			h.waitHeard(80_000, "w1")
			h.fullTurn()
		}},
		{"an attempt after its timeout", true, func(h *history) {
			h.started(func(t *model.Task) { t.Timeout = model.Seconds(10) })
			h.waitHeard(80_000, "w1")
			h.fullTurn()
		}},
	})
}
