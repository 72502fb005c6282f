package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestWipedIfWished_UnrequestedWipeRefused: bytes are deleted only after a cancel or a delete.
func TestWipedIfWished_UnrequestedWipeRefused(t *testing.T) {
	play(t, "wiped-if-wished", []testCase{
		{"a canceled task", false, func(h *history) {
			h.started()
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropCanceled}) })
		}},
		{"a superseded attempt", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropCanceled}) })
		}},
	})
}
