package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestBlame_FailureWithoutReportRefused: a failure counts once for each attempt, and only if the holder failed.
func TestBlame_FailureWithoutReportRefused(t *testing.T) {
	play(t, "blame", []testCase{
		{"a failure that the holder reported", false, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), h.failing(2000))
		}},
		{"a failure that no worker reported", true, func(h *history) {
			h.started()
			h.turn(func() { h.commit("t1", h.failing(2000)) })
		}},
		{"two failures in one turn", true, func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), func(t *model.Task) {
				h.failing(2000)(t)
				t.Failures++
			})
		}},
		{"an error that no worker reported", true, func(h *history) {
			h.started()
			h.turn(func() {
				h.commit("t1", func(t *model.Task) {
					become(model.StatusPending)(t)
					t.Error = retryable()
				})
			})
		}},
	})
}
