package oracle

import (
	"testing"
)

// TestPlacesOnlyWhereHeard_UnheardWorkerRefused: a task is assigned only to a worker that the dispatcher hears.
func TestPlacesOnlyWhereHeard_UnheardWorkerRefused(t *testing.T) {
	play(t, "places-only-where-heard", []testCase{
		{"a live worker", false, func(h *history) {
			h.started()
		}},
		{"an unknown worker", true, func(h *history) {
			h.submit("t1")
			h.assign("t1", "w1")
		}},
		{"a silent worker", true, func(h *history) {
			h.heartbeat("w1")
			h.wait(30_000)
			h.submit("t1")
			h.assign("t1", "w1")
		}},
		{"a disconnected dispatcher", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.connected = false
			h.assign("t1", "w1")
		}},
	})
}
