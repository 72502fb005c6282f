package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestPrefetch_TaskBeyondSlotsNeedsReason: a worker gets a task beyond its slots only if no
// other one has a free slot for it, and loses it only after it has stopped listing it.
func TestPrefetch_TaskBeyondSlotsNeedsReason(t *testing.T) {
	play(t, "prefetch", []testCase{
		{"no free slot elsewhere", false, func(h *history) {
			h.heartbeat("w1", oneSlot)
			h.assignBeyond()
		}},
		{"a free slot elsewhere", true, func(h *history) {
			h.heartbeat("w1", oneSlot)
			h.heartbeat("w2", oneSlot)
			h.wait(1000) // w2 can be chosen from the next moment on
			h.assignBeyond()
		}},
		{"a timeout", true, func(h *history) {
			h.heartbeat("w1", oneSlot)
			h.assignBeyond(func(t *model.Task) { t.Timeout = model.Seconds(60) })
		}},
		{"taken back after it is dropped", false, func(h *history) {
			h.takeBack()
			h.turn(func() {
				h.commit("t2", h.takenBack)
				h.beat(h.newHeartbeat("w1", oneSlot, queuedSecond(false)), &model.HeartbeatAnswer{})
			})
		}},
		{"omitted once after a load", false, func(h *history) {
			h.omitAfterLoad(1, 2500)
		}},
		{"omitted for an interval after a load, and kept", true, func(h *history) {
			h.omitAfterLoad(6, 2600) // after a load that fails it would back off first
		}},
		{"omitted after a load, and taken back", false, func(h *history) {
			h.omitAfterLoad(1, 2500)
			h.turn(func() { h.commit("t2", h.takenBack) })
		}},
		{"taken back while it is listed", true, func(h *history) {
			h.takeBack()
			h.turn(func() {
				b := h.newHeartbeat("w1", oneSlot, queuedSecond(true))
				h.commit("t2", h.takenBack)
				h.beat(b, &model.HeartbeatAnswer{})
			})
		}},
	})
}

func oneSlot(b *model.Heartbeat) { b.TotalSlots, b.Prefetch = 1, 1 }

// queuedSecond has a heartbeat list the task t2 as queued, or not at all.
func queuedSecond(listed bool) func(b *model.Heartbeat) {
	return func(b *model.Heartbeat) {
		if len(b.Tasks) < 2 {
			return
		}
		if b.Tasks[1].Status = model.ReportQueued; !listed {
			b.Tasks = b.Tasks[:1]
		}
	}
}

// assignBeyond gives w1 the task t1, for its slot, and t2.
func (h *history) assignBeyond(set ...func(t *model.Task)) {
	h.submit("t1")
	h.assign("t1", "w1")
	h.submit("t2", set...)
	h.assign("t2", "w1")
}

// takeBack has w1 told to drop t2, which it lists as queued.
func (h *history) takeBack() {
	h.heartbeat("w1", oneSlot)
	h.assignBeyond()
	h.heartbeat("w1", oneSlot, queuedSecond(true))
	h.turn(func() { h.Dropped("w1", model.Drop{ID: "t2", Attempt: 1, Reason: model.DropSuperseded}) })
}

// takenBack is the change of a task that its holder has not begun and has dropped.
func (h *history) takenBack(t *model.Task) {
	p := model.PastAttempt{Attempt: t.Attempt, WorkerID: t.WorkerID, AssignedAt: t.AssignedAt, EndedAt: h.Wall(), Outcome: model.OutcomeSuperseded}
	become(model.StatusPending)(t)
	t.History = model.AppendAttempt(t.History, p)
}

// omitAfterLoad has the engine loaded while w1 has the task t2, and w1 omit it in heartbeats, with
// a wait after each. It is given it again each time.
func (h *history) omitAfterLoad(times int, wait model.Time) {
	h.heartbeat("w1", oneSlot)
	h.assignBeyond()
	h.wait(1000)
	h.Loaded()
	for range times {
		h.turn(func() {
			b := h.newHeartbeat("w1", oneSlot, queuedSecond(false))
			h.beat(b, &model.HeartbeatAnswer{Assign: []model.Assignment{{Task: h.row("t2"), Attempt: 1}}})
		})
		h.wait(wait)
	}
}
