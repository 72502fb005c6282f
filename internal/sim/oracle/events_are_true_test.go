package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestEventsAreTrue_MissingEventRefused: each change of a status is published, and the last event is what the store has.
func TestEventsAreTrue_MissingEventRefused(t *testing.T) {
	play(t, "events-are-true", []testCase{
		{"a change with its event", false, func(h *history) {
			h.submit("t1")
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
		}},
		{"a change without an event", true, func(h *history) {
			h.submit("t1")
			op := &Message{Ops: []engine.Event{engine.Cancel{Client: "alice", ID: "t1"}}}
			h.Received(op)
			h.turn(func() {
				h.commitQuietly("t1", become(model.StatusCanceled))
				h.answer(op, engine.Answer{Task: h.row("t1")})
			})
		}},
		{"an event of another status", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: model.StatusFailed}) })
		}},
		{"a removed worker that is stored", true, func(h *history) {
			h.turn(func() {
				h.Committed(&model.Batch{Workers: []model.WorkerChange{{ID: "w1", Put: &model.Worker{ID: "w1"}}}})
				h.WorkerEvent(&model.WorkerEvent{ID: "w1", Status: model.WorkerRemoved})
			})
		}},
	})
}
