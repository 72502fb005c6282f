package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestCompletedStays_ChangeRefused: a completed task does not change.
func TestCompletedStays_ChangeRefused(t *testing.T) {
	play(t, "completed-stays", []testCase{
		{"a completed task", false, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
		}},
		{"a completed task that is queued", true, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
			h.turn(func() {
				h.commit("t1", func(t *model.Task) {
					become(model.StatusPending)(t)
					t.FinishedAt = 0
				})
			})
		}},
	})
}
