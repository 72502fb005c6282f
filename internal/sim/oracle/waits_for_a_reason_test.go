package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestWaitsForAReason_PendingWithoutReasonRefused: a pending task states what it waits for.
func TestWaitsForAReason_PendingWithoutReasonRefused(t *testing.T) {
	play(t, "waits-for-a-reason", []testCase{
		{"a stated reason", false, func(h *history) {
			h.submit("t1")
			h.fullTurn()
		}},
		{"no reason", true, func(h *history) {
			h.submit("t1")
			waitFor(h, "")
			h.fullTurn()
		}},
		{"a worker that is gone", true, func(h *history) {
			h.heartbeat("w1")
			h.submit("t1")
			h.turn(func() { h.WorkerEvent(&model.WorkerEvent{ID: "w1", Status: model.WorkerOffline}) })
			waitFor(h, "waits for the worker w1, which has its bytes")
			h.fullTurn()
		}},
	})
}

// waitFor has the engine answer that t1 waits for the reason.
func waitFor(h *history, reason string) {
	h.amend = func(answers []engine.Answer) {
		if live := answers[0].Live; live != nil {
			live["t1"] = model.TaskState{Status: model.StatusPending, Reason: reason}
		}
	}
}
