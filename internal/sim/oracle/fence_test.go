package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestFence_ReportOfHolderRequired: each attempt is above all earlier ones, and only its holder completes it.
func TestFence_ReportOfHolderRequired(t *testing.T) {
	play(t, "fence", []testCase{
		{"a completion that the holder reported", false, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
		}},
		{"a completion that another worker reported", true, func(h *history) {
			h.started()
			h.heartbeat("w2")
			h.reports("w2", h.report("t1", model.ReportCompleted), completed)
		}},
		{"an attempt that was used before", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.turn(func() {
				h.commit("t1", func(t *model.Task) {
					assignTo("w1")(t)
					t.Attempt = -1
				})
			})
		}},
		{"the attempt of a deleted task of the id", true, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
			deleteEnded(h, "t1")
			h.wait(61_000)
			h.submit("t1")
			h.assign("t1", "w1")
		}},
		{"the attempt of a task of the id that no worker remembers", false, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
			deleteEnded(h, "t1")
			h.wait(601_000)
			h.heartbeat("w1")
			h.submit("t1")
			h.assign("t1", "w1")
		}},
		{"an attempt below one that a worker listed", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			b := h.newHeartbeat("w1", func(b *model.Heartbeat) {
				b.Tasks = []model.Report{{ID: "t1", Attempt: 7, Status: model.ReportDownloading}}
			})
			h.turn(func() {
				h.beat(b, &model.HeartbeatAnswer{Drop: []model.Drop{{ID: "t1", Attempt: 7, Reason: model.DropSuperseded}}})
			})
			h.assign("t1", "w1")
		}},
	})
}
