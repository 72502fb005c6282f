package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestDrops_DropOfHeldAttemptRefused: no worker is ordered to drop an attempt that it
// should hold.
func TestDrops_DropOfHeldAttemptRefused(t *testing.T) {
	play(t, "drops", []testCase{
		{"a canceled attempt", false, func(h *history) {
			h.started()
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropCanceled}) })
		}},
		{"a held attempt", true, func(h *history) {
			h.started()
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropSuperseded}) })
		}},
		{"an unknown task that exists", true, func(h *history) {
			h.started()
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropUnknown}) })
		}},
		{"a paused task that does not exist", true, func(h *history) {
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropPaused}) })
		}},
	})
}
