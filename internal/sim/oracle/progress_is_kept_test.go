package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestProgressIsKept_UnsavedProgressRefused: the progress of a download reaches the store.
func TestProgressIsKept_UnsavedProgressRefused(t *testing.T) {
	play(t, "progress-is-kept", []testCase{
		{"progress that is stored", false, func(h *history) {
			h.started()
			h.heartbeat("w1", halfway)
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.CompletedLength = 500 }) })
			h.waitHeard(14_000, "w1")
			h.fullTurn()
		}},
		{"progress that is not stored", true, func(h *history) {
			h.started()
			h.heartbeat("w1", halfway)
			h.wait(14_000)
			h.fullTurn()
		}},
	})
}

func halfway(b *model.Heartbeat) { b.Tasks[0].CompletedLength = 500 }
