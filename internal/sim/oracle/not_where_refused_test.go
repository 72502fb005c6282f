package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestNotWhereRefused_ImmediateReturnRefused: a task does not return at once to the worker that refused it.
func TestNotWhereRefused_ImmediateReturnRefused(t *testing.T) {
	play(t, "not-where-refused", []testCase{
		{"another worker", false, func(h *history) {
			h.heartbeat("w2")
			refusedByWorker(h)
			h.assign("t1", "w2")
		}},
		{"the same worker", true, func(h *history) {
			refusedByWorker(h)
			h.assign("t1", "w1")
		}},
	})
}

// refusedByWorker has the worker w1 reject the task t1.
func refusedByWorker(h *history) {
	h.started()
	r := h.report("t1", model.ReportRejected)
	r.Error = &model.TaskError{Message: "the disk is full", Class: model.ClassWorker}
	h.reports("w1", r, func(t *model.Task) {
		become(model.StatusPending)(t)
		t.Error = r.Error
	})
}
