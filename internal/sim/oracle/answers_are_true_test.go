package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestAnswersAreTrue_AnswerMatchesStore: an answer states what the store holds.
func TestAnswersAreTrue_AnswerMatchesStore(t *testing.T) {
	play(t, "answers-are-true", []testCase{
		{"an accepted submit that is stored", false, func(h *history) {
			h.submit("t1")
		}},
		{"an accepted submit that is not stored", true, func(h *history) {
			task := h.newTask("t1")
			h.turn(func() { h.ask(submitOf(task), engine.Answer{Task: task}) })
		}},
		{"a cancel that is stored", false, func(h *history) {
			h.submit("t1")
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
		}},
		{"a cancel that is not stored", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(engine.Cancel{Client: "alice", ID: "t1"}, engine.Answer{Task: h.row("t1")}) })
		}},
		{"an assignment to another worker", true, func(h *history) {
			h.heartbeat("w2")
			h.started()
			h.turn(func() { h.Assigned("w2", []model.Assignment{{Task: h.row("t1"), Attempt: 1}}) })
		}},
		{"an assignment with the row that is stored", false, func(h *history) {
			h.started()
			h.turn(func() { h.Assigned("w1", []model.Assignment{{Task: h.row("t1"), Attempt: 1}}) })
		}},
		{"an assignment with an older row", true, func(h *history) {
			h.started()
			old := h.row("t1")
			old.Priority = model.PriorityHigh
			h.turn(func() { h.Assigned("w1", []model.Assignment{{Task: old, Attempt: 1}}) })
		}},
		{"an assignment of an attempt that was taken back", true, func(h *history) {
			h.started()
			before := h.row("t1")
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
			h.turn(func() { h.Assigned("w1", []model.Assignment{{Task: before, Attempt: 1}}) })
		}},
		{"a finished attempt to forget that is downloading", true, func(h *history) {
			h.started()
			b := h.newHeartbeat("w1")
			h.turn(func() { h.beat(b, &model.HeartbeatAnswer{Forget: []model.TaskRef{b.Tasks[0].Ref()}}) })
		}},
		{"a drain that is not stored", true, func(h *history) {
			h.heartbeat("w1")
			h.turn(func() { h.ask(engine.DrainWorker{ID: "w1"}, engine.Answer{}) })
		}},
	})
}
