package oracle

import (
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestFairTurns_OvertakenClientRefused: a client that waits is not overtaken by more turns of another one than are due.
func TestFairTurns_OvertakenClientRefused(t *testing.T) {
	play(t, "fair-turns", []testCase{
		{"two turns of another client", false, func(h *history) {
			fairTurns(h, 2)
		}},
		{"many turns of another client", true, func(h *history) {
			fairTurns(h, 12)
		}},
	})
}

// fairTurns lets alice wait with one task while bob gets some turns.
func fairTurns(h *history, turns int) {
	h.cfg.MaxPending, h.cfg.ClientPending = 100, 100
	h.heartbeat("w1", func(b *model.Heartbeat) { b.TotalSlots = 100 })
	h.submit("t1")
	for i := range turns {
		id := fmt.Sprint("b", i)
		h.submit(id, func(t *model.Task) { t.Client = "bob" })
		h.assign(id, "w1")
	}
}
