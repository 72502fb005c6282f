package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestNobodyLostTooEarly_EarlyLossRefused: a worker is lost only after heartbeat_timeout without a heartbeat.
func TestNobodyLostTooEarly_EarlyLossRefused(t *testing.T) {
	play(t, "nobody-lost-too-early", []testCase{
		{"a loss after the timeout", false, func(h *history) {
			h.started()
			h.wait(16_000)
			h.turn(func() { h.commit("t1", loss) })
		}},
		{"a loss before the timeout", true, func(h *history) {
			h.started()
			h.wait(5000)
			h.turn(func() { h.commit("t1", loss) })
		}},
		{"a loss after an outage of the dispatcher", true, func(h *history) {
			h.started()
			h.now += 60_000
			h.turn(func() {})
			h.turn(func() { h.commit("t1", loss) })
		}},
	})
}

// loss is the change of a task of a lost worker.
func loss(t *model.Task) {
	become(model.StatusPending)(t)
	t.Losses++
}
