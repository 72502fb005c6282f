package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestEngineAgrees_OtherStateRefused: the engine knows each live task as the store does.
func TestEngineAgrees_OtherStateRefused(t *testing.T) {
	play(t, "engine-agrees", []testCase{
		{"the same state", false, func(h *history) {
			h.started()
			h.fullTurn()
		}},
		{"another attempt", true, func(h *history) {
			h.started()
			h.amend = func(answers []engine.Answer) {
				if live := answers[0].Live; live != nil {
					live["t1"] = model.TaskState{Status: model.StatusDownloading, Attempt: 2, WorkerID: "w1"}
				}
			}
			h.fullTurn()
		}},
		{"a missing task", true, func(h *history) {
			h.submit("t1")
			h.amend = func(answers []engine.Answer) { answers[0].Live = nil }
			h.fullTurn()
		}},
		{"another count", true, func(h *history) {
			h.submit("t1")
			h.amend = func(answers []engine.Answer) {
				if len(answers) > 1 {
					answers[1].Status.TasksByStatus = nil
				}
			}
			h.fullTurn()
		}},
	})
}
