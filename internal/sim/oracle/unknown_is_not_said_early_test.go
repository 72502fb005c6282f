package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestUnknownIsNotSaidEarly_EarlyUnknownRefused: no task is called unknown within heartbeat_timeout of a start.
func TestUnknownIsNotSaidEarly_EarlyUnknownRefused(t *testing.T) {
	play(t, "unknown-is-not-said-early", []testCase{
		{"after the timeout", false, func(h *history) {
			h.wait(10_000)
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropUnknown}) })
		}},
		{"after a start", true, func(h *history) {
			h.Started()
			h.turn(h.Loaded)
			h.turn(func() { h.Dropped("w1", model.Drop{ID: "t1", Attempt: 1, Reason: model.DropUnknown}) })
		}},
	})
}
