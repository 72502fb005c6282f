package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestBackoff_AssignmentBeforeRetryRefused: a task is assigned only after its backoff and its not_before.
func TestBackoff_AssignmentBeforeRetryRefused(t *testing.T) {
	play(t, "backoff", []testCase{
		{"a retry after the backoff", false, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), h.failing(2000))
			h.waitHeard(3000, "w1")
			h.assign("t1", "w1")
		}},
		{"a retry before the backoff ends", true, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), h.failing(2000))
			h.assign("t1", "w1")
		}},
		{"a backoff that is too short", true, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), h.failing(500))
		}},
		{"a task before its not_before", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1", func(t *model.Task) { t.NotBefore = h.Wall() + 60_000 })
			h.assign("t1", "w1")
		}},
	})
}
