package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestDoneIfAsked_UnrequestedChangeRefused: a task changes by a verb only as often as the verb was requested.
func TestDoneIfAsked_UnrequestedChangeRefused(t *testing.T) {
	play(t, "done-if-asked", []testCase{
		{"a pause that was requested", false, func(h *history) {
			h.submit("t1")
			h.verb(engine.Pause{Client: "alice", ID: "t1"}, become(model.StatusPaused))
		}},
		{"a pause that was not requested", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.commit("t1", become(model.StatusPaused)) })
		}},
		{"a pause by another client", true, func(h *history) {
			h.submit("t1")
			h.verb(engine.Pause{Client: "mallory", ID: "t1"}, become(model.StatusPaused))
		}},
		{"a task that was not submitted", true, func(h *history) {
			h.turn(func() { h.create(h.newTask("t1")) })
		}},
		{"a drain that ends without a request", true, func(h *history) {
			h.Committed(&model.Batch{Workers: []model.WorkerChange{{ID: "w1", Put: &model.Worker{ID: "w1", Drained: true}}}})
			h.Committed(&model.Batch{Workers: []model.WorkerChange{{ID: "w1", Put: &model.Worker{ID: "w1"}}}})
		}},
	})
}
