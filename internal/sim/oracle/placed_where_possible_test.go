package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestPlacedWherePossible_IncapableWorkerRefused: a task is assigned to a worker that has what it needs.
func TestPlacedWherePossible_IncapableWorkerRefused(t *testing.T) {
	play(t, "placed-where-possible", []testCase{
		{"a worker with the tag", false, func(h *history) {
			h.heartbeat("w1", func(b *model.Heartbeat) { b.Capabilities.Tags = map[string]string{"location": "eu"} })
			h.submit("t1", inEurope)
			h.assign("t1", "w1")
		}},
		{"a worker without the tag", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1", inEurope)
			h.assign("t1", "w1")
		}},
		{"a worker without the protocol", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1", func(t *model.Task) { t.URL = "ftp://h0.example/t1" })
			h.assign("t1", "w1")
		}},
	})
}

func inEurope(t *model.Task) { t.Tags = map[string]string{"location": "eu"} }
