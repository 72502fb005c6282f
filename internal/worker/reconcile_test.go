package worker

import (
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Downloads that the engine does not stop hold up no other task.
func TestPass_StuckRemovesHoldNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1), assignment("b", 1), assignment("c", 1))
		n.engine.with(func() { n.engine.stuck = map[string]bool{"a": true, "b": true} })
		n.link.answerOnce(model.HeartbeatAnswer{Drop: []model.Drop{
			{ID: "a", Attempt: 1, Reason: model.DropCanceled}, {ID: "b", Attempt: 1, Reason: model.DropCanceled},
		}})
		n.pass(10 * time.Second)
		n.engine.finish("c", map[string]string{"x": "1"})
		n.pass(10 * time.Second)
		same(t, "status of the other", n.link.lastReport("c").Status, model.ReportCompleted)
		same(t, "the worker says", n.link.lastBeat().State, model.StateReady)
		same(t, "it lists", len(n.link.lastBeat().Tasks), 2)
		n.engine.with(func() { n.engine.stuck = nil })
		n.pass(20 * time.Second)
		same(t, "then it lists", len(n.link.lastBeat().Tasks), 0)
	})
}
