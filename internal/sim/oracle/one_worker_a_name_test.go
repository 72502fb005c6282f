package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestOneWorkerAName_SecondInstanceRefused: a live instance keeps its name.
func TestOneWorkerAName_SecondInstanceRefused(t *testing.T) {
	play(t, "one-worker-a-name", []testCase{
		{"another instance after the timeout", false, func(h *history) {
			h.heartbeat("w1")
			h.wait(16_000)
			h.heartbeat("w1", func(b *model.Heartbeat) { b.Instance = "other" })
		}},
		{"another instance at once", true, func(h *history) {
			h.heartbeat("w1")
			h.heartbeat("w1", func(b *model.Heartbeat) { b.Instance = "other" })
		}},
		{"an older epoch", true, func(h *history) {
			h.heartbeat("w1", func(b *model.Heartbeat) { b.Epoch = 2 })
			h.heartbeat("w1")
		}},
	})
}
