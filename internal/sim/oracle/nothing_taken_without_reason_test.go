package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestNothingTaken_ReleaseWithoutReasonRefused: a task is taken from its holder only for a reason.
func TestNothingTaken_ReleaseWithoutReasonRefused(t *testing.T) {
	play(t, "nothing-taken-without-reason", []testCase{
		{"a worker that leaves", false, func(h *history) {
			h.started()
			h.turn(func() {
				m := &Message{Ops: []engine.Event{engine.Heartbeat{Heartbeat: h.newHeartbeat("w1", leaving)}}, FromWorker: true}
				h.Received(m)
				h.commit("t1", become(model.StatusPending))
				h.answer(m, engine.Answer{Heartbeat: &model.HeartbeatAnswer{}})
			})
		}},
		{"a worker that lists the task", true, func(h *history) {
			h.started()
			h.turn(func() { h.commit("t1", become(model.StatusPending)) })
		}},
	})
}

func leaving(b *model.Heartbeat) { b.State, b.Tasks = model.StateLeaving, nil }
