package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestNothingLost_MissingTaskRefused: an acknowledged task stays in the store until it is deleted or expires.
func TestNothingLost_MissingTaskRefused(t *testing.T) {
	play(t, "nothing-lost", []testCase{
		{"a deleted task", false, func(h *history) {
			deleteTask(h, "t1")
			h.CheckAcknowledged()
		}},
		{"a deletion that no client requested", true, func(h *history) {
			h.submit("t1")
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
			h.turn(func() { h.remove("t1") })
		}},
		{"a completed task that has expired", false, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
			h.wait(31_000)
			h.turn(func() { h.remove("t1") })
		}},
		{"a client that does not find its task", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(engine.Cancel{Client: "alice", ID: "t1"}, refuse(model.CodeNotFound)) })
		}},
	})
}
