package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestFailedForAReason_EarlyFailureRefused: a task fails by a permanent error, by max_attempts or by max_losses.
func TestFailedForAReason_EarlyFailureRefused(t *testing.T) {
	play(t, "failed-for-a-reason", []testCase{
		{"a permanent error", false, func(h *history) {
			h.started()
			r := h.failure("t1")
			r.Error = &model.TaskError{Message: "404", Class: model.ClassPermanent}
			h.reports("w1", r, func(t *model.Task) {
				become(model.StatusFailed)(t)
				t.Failures, t.Error = 1, r.Error
			})
		}},
		{"the first retryable failure", true, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), func(t *model.Task) {
				become(model.StatusFailed)(t)
				t.Failures, t.Error = 1, retryable()
			})
		}},
		{"a retry after the last failure", true, func(h *history) {
			h.started(func(t *model.Task) { t.MaxAttempts = 1 })
			h.reports("w1", h.failure("t1"), h.failing(2000))
		}},
	})
}
