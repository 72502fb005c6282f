package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestNoSlotStaysIdle_WaitingTaskRefused: no task waits for long while a worker that can do it has a free slot.
func TestNoSlotStaysIdle_WaitingTaskRefused(t *testing.T) {
	play(t, "no-slot-stays-idle", []testCase{
		{"a task that waits for a moment", false, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.fullTurn()
			h.waitHeard(20_000, "w1")
			h.fullTurn()
		}},
		{"a task that waits for a minute", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.fullTurn()
			h.waitHeard(60_000, "w1")
			h.fullTurn()
		}},
		{"a task that no worker can do", false, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1", func(t *model.Task) { t.Tags = map[string]string{"gpu": "yes"} })
			h.fullTurn()
			h.waitHeard(60_000, "w1")
			h.fullTurn()
		}},
	})
}
