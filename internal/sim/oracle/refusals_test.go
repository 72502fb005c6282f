package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestRefusals_UnjustifiedRefusalRefused: a request is refused only with a code of the contract, and for a reason.
func TestRefusals_UnjustifiedRefusalRefused(t *testing.T) {
	play(t, "refusals", []testCase{
		{"a cancel of a completed task", false, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
			h.turn(func() { h.ask(engine.Cancel{Client: "alice", ID: "t1"}, refuse(model.CodeConflict)) })
		}},
		{"a cancel of a pending task", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(engine.Cancel{Client: "alice", ID: "t1"}, refuse(model.CodeConflict)) })
		}},
		{"an internal error", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(engine.Cancel{Client: "alice", ID: "t1"}, refuse(model.CodeInternal)) })
		}},
		{"an event that panics", false, func(h *history) {
			h.turn(func() { h.ask(engine.Import{}, refuse(model.CodeInternal)) })
		}},
		{"an event that panics without an error", true, func(h *history) {
			h.turn(func() { h.ask(engine.Import{}, engine.Answer{}) })
		}},
		{"a limit that is not reached", true, func(h *history) {
			h.turn(func() { h.ask(submitOf(h.newTask("t1")), refuse(model.CodeTooMany)) })
		}},
		{"a live worker removed without force", true, func(h *history) {
			h.heartbeat("w1")
			h.turn(func() { h.ask(engine.RemoveWorker{ID: "w1"}, engine.Answer{}) })
		}},
	})
}
