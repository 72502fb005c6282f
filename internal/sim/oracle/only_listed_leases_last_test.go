package oracle

import (
	"testing"
)

// TestOnlyListedLeasesLast_UnlistedTaskRefused: a task that its worker does not list is taken from it.
func TestOnlyListedLeasesLast_UnlistedTaskRefused(t *testing.T) {
	play(t, "only-listed-leases-last", []testCase{
		{"a listed task", false, func(h *history) {
			h.started()
			h.waitHeard(80_000, "w1")
			h.fullTurn()
		}},
		{"a task that is not listed", true, func(h *history) {
			h.started()
			h.wait(80_000)
			h.fullTurn()
		}},
	})
}
