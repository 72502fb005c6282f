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
		{"a task beyond the slots that waits for a moment", false, func(h *history) {
			h.waitBeyondSlots(15_000, nil)
		}},
		{"a task beyond the slots that waits for long", true, func(h *history) {
			h.waitBeyondSlots(32_000, nil)
		}},
		{"a task beyond the slots that no other worker can do", false, func(h *history) {
			h.waitBeyondSlots(60_000, func(b *model.Heartbeat) { b.Capabilities.Protocols = []string{"ftp"} })
		}},
		{"a task beyond the slots, and no free slot", false, func(h *history) {
			h.waitBeyondSlots(60_000, func(b *model.Heartbeat) { b.TotalSlots = 0 })
		}},
	})
}

// waitBeyondSlots has w1 hold the task t2 beyond its slot for a time in which w2, which set
// changes, has a slot.
func (h *history) waitBeyondSlots(d model.Time, set func(b *model.Heartbeat)) {
	h.heartbeat("w1", oneSlot)
	h.assignBeyond()
	for end := h.now + d; h.now < end; h.wait(2500) {
		h.heartbeat("w1", oneSlot, queuedSecond(true))
		if set == nil {
			h.heartbeat("w2")
		} else {
			h.heartbeat("w2", set)
		}
		h.fullTurn()
	}
}
