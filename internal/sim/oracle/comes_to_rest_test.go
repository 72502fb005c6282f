package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
)

// TestComesToRest_LeftoverRefused: an engine without live tasks holds nothing.
func TestComesToRest_LeftoverRefused(t *testing.T) {
	play(t, "comes-to-rest", []testCase{
		{"an engine with workers only", false, func(h *history) {
			h.CheckRest(engine.Sizes{Workers: 2, Sizes: placement.Sizes{Classes: 1}})
		}},
		{"an engine that holds a task", true, func(h *history) {
			h.CheckRest(engine.Sizes{Tasks: 1})
		}},
		{"a worker with a used slot", true, func(h *history) {
			h.heartbeat("w1")
			h.amend = func(answers []engine.Answer) { answers[0].Workers.Workers[0].UsedSlots = 1 }
			h.CheckRest(engine.Sizes{})
		}},
		{"a reason to wait", true, func(h *history) {
			h.amend = func(answers []engine.Answer) { answers[1].Status.Waiting = map[string]int{"no worker": 1} }
			h.CheckRest(engine.Sizes{})
		}},
	})
}
