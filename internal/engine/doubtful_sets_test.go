package engine

import (
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tasks of one dead host are tried elsewhere, each at first at another worker. They make a
// bounded number of requirement sets all the same, so that tasks of others cost what they did.
func TestAvoidance_DeadHostMakesFewSets(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPending, cfg.RequirementSets = 10_000, 1000
	w := newWorld(t, cfg)
	for i := range 20 {
		w.act([]string{"heartbeat", fmt.Sprintf("w%02d", i), "slots=50"})
	}
	for i := range 1000 {
		w.act([]string{"submit", "noisy", fmt.Sprintf("n%04d", i), "url=https://dead.example/f"})
	}
	most := 0
	for range 60 {
		var failed []Event
		for _, k := range w.engine.workersByName() {
			for _, x := range k.tasksBySeq() {
				failed = append(failed, Report{Worker: k.ID, Report: model.Report{
					ID: x.ID, Attempt: x.attempt, Status: model.ReportFailed,
					Error: &model.TaskError{Code: 6, Class: model.ClassRetryable, Message: "connection refused"},
				}})
			}
		}
		w.turn(failed...)
		w.act([]string{"pass", "1"})
		most = max(most, w.engine.index.Sets())
	}
	if most > maxDoubtfulSets+10 || most < 20 {
		t.Errorf("at most %d requirement sets, want more than one for each worker and at most %d", most, maxDoubtfulSets+10)
	}
}
