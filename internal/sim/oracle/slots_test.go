package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
)

// TestSlots_TaskAboveSlotsRefused: a worker holds no more tasks than it has slots.
func TestSlots_TaskAboveSlotsRefused(t *testing.T) {
	play(t, "slots", []testCase{
		{"as many tasks as slots", false, func(h *history) {
			h.heartbeat("w1")
			for _, id := range []string{"t1", "t2"} {
				h.submit(id)
				h.assign(id, "w1")
			}
		}},
		{"more tasks than slots", true, func(h *history) {
			h.heartbeat("w1")
			for _, id := range []string{"t1", "t2", "t3"} {
				h.submit(id)
				h.assign(id, "w1")
			}
		}},
		{"a used slot without a task", true, func(h *history) {
			h.heartbeat("w1")
			h.amend = func(answers []engine.Answer) {
				if answers[0].Workers != nil {
					answers[0].Workers.Workers[0].UsedSlots = 1
				}
			}
			h.submit("t1")
			h.fullTurn()
		}},
	})
}
