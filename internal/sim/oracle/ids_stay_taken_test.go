package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIDsStayTaken_EarlyReuseRefused: the id of a deleted task stays taken for retention.ids.
func TestIDsStayTaken_EarlyReuseRefused(t *testing.T) {
	play(t, "ids-stay-taken", []testCase{
		{"a submit after retention.ids", false, func(h *history) {
			deleteTask(h, "t1")
			h.wait(61_000)
			h.submit("t1")
		}},
		{"a submit within retention.ids", true, func(h *history) {
			deleteTask(h, "t1")
			h.submit("t1")
		}},
	})
}

// deleteTask submits, cancels and deletes a task.
func deleteTask(h *history, id string) {
	h.submit(id)
	h.verb(engine.Cancel{Client: "alice", ID: id}, become(model.StatusCanceled))
	deleteEnded(h, id)
}

// deleteEnded deletes a task that has ended.
func deleteEnded(h *history, id string) {
	m := &Message{Ops: []engine.Event{engine.Delete{Client: "alice", ID: id}}}
	h.Received(m)
	h.turn(func() {
		h.remove(id)
		h.answer(m, engine.Answer{})
	})
}
