package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestHeldUntilVerified_EarlyAssignmentRefused: an imported task is assigned only after its import is finished.
func TestHeldUntilVerified_EarlyAssignmentRefused(t *testing.T) {
	play(t, "held-until-verified", []testCase{
		{"an assignment after the import", false, func(h *history) {
			h.heartbeat("w1")
			importTask(h, "t1")
			finishImport(h, "t1")
			h.assign("t1", "w1")
		}},
		{"an assignment during the import", true, func(h *history) {
			h.heartbeat("w1")
			importTask(h, "t1")
			h.assign("t1", "w1")
		}},
		{"a held task with another reason", true, func(h *history) {
			importTask(h, "t1")
			h.amend = func(answers []engine.Answer) {
				if live := answers[0].Live; live != nil {
					live["t1"] = model.TaskState{Status: model.StatusPending, Reason: "waits for a slot"}
				}
			}
			h.fullTurn()
		}},
	})
}

// importTask imports a pending task in a turn of its own.
func importTask(h *history, id string) {
	h.ImportBegan()
	h.BeginImportTurn([]string{id}, nil)
	h.create(h.newTask(id))
	h.ImportDecided()
	h.ApplyImported()
	h.EndTurn(true)
}

// finishImport finishes the import of a task.
func finishImport(h *history, id string) {
	h.BeginImportTurn(nil, map[string]struct{}{id: {}})
	h.ImportDecided()
	h.ImportReleased()
	h.ApplyImported()
	h.EndTurn(true)
}
