package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestLevelNotEdge_IncompleteAnswerRefused: the answer to a heartbeat names all that the worker lacks and all that it should drop.
func TestLevelNotEdge_IncompleteAnswerRefused(t *testing.T) {
	play(t, "level-not-edge", []testCase{
		{"a missing attempt that is assigned again", false, func(h *history) {
			h.started()
			b := h.newHeartbeat("w1", func(b *model.Heartbeat) { b.Tasks = nil })
			h.turn(func() { h.beat(b, &model.HeartbeatAnswer{Assign: []model.Assignment{{Task: h.row("t1"), Attempt: 1}}}) })
		}},
		{"a missing attempt that is not assigned again", true, func(h *history) {
			h.started()
			h.heartbeat("w1", func(b *model.Heartbeat) { b.Tasks = nil })
		}},
		{"a superseded attempt without a drop", true, func(h *history) {
			h.submit("t1")
			h.heartbeat("w1", func(b *model.Heartbeat) {
				b.Tasks = []model.Report{{ID: "t1", Attempt: 3, Status: model.ReportDownloading}}
			})
		}},
	})
}
