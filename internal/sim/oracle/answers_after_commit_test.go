package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestAnswersAfterCommit_OutputBeforeCommitRefused: an answer or event that leaves before the commit of its turn is refused.
func TestAnswersAfterCommit_OutputBeforeCommitRefused(t *testing.T) {
	play(t, "answers-after-commit", []testCase{
		{"an event after the commit", false, func(h *history) {
			h.submit("t1")
		}},
		{"an event before the commit", true, func(h *history) {
			h.turn(func() {
				h.TaskEvent(&model.TaskEvent{ID: "t1"})
				h.create(h.newTask("t1"))
			})
		}},
		{"an event of a failed turn", true, func(h *history) {
			h.turn(func() {
				h.CommitFailed()
				h.TaskEvent(&model.TaskEvent{ID: "t1"})
			})
		}},
		{"a refusal of a failed turn", false, func(h *history) {
			h.turn(func() {
				h.CommitFailed()
				h.ask(engine.Cancel{ID: "t1"}, refuse(model.CodeUnavailable))
			})
		}},
	})
}
