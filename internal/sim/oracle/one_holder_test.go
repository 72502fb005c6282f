package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestOneHolder_OtherHolderRefused: an active task is held by the worker that its attempt was assigned to.
func TestOneHolder_OtherHolderRefused(t *testing.T) {
	play(t, "one-holder", []testCase{
		{"the assigned worker", false, func(h *history) {
			h.started()
		}},
		{"another worker", true, func(h *history) {
			h.started()
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.WorkerID = "w2" }) })
		}},
		{"a pending task with a holder", true, func(h *history) {
			h.started()
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.Status = model.StatusPending }) })
		}},
	})
}
