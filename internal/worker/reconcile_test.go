package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Downloads that the engine does not stop hold up no other task.
func TestPass_StuckRemovesHoldNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1), assignment("b", 1), assignment("c", 1))
		n.engine.with(func() { n.engine.stuck = map[string]bool{"a": true, "b": true} })
		n.link.answerOnce(model.HeartbeatAnswer{Drop: []model.Drop{
			{ID: "a", Attempt: 1, Reason: model.DropCanceled}, {ID: "b", Attempt: 1, Reason: model.DropCanceled},
		}})
		n.pass(10 * time.Second)
		n.engine.finish("c", map[string]string{"x": "1"})
		n.pass(10 * time.Second)
		same(t, "status of the other", n.link.lastReport("c").Status, model.ReportCompleted)
		same(t, "the worker says", n.link.lastBeat().State, model.StateReady)
		same(t, "it lists", len(n.link.lastBeat().Tasks), 2)
		n.engine.with(func() { n.engine.stuck = nil })
		n.pass(20 * time.Second)
		same(t, "then it lists", len(n.link.lastBeat().Tasks), 0)
	})
}

// Each result of a reconciliation has its outcome, and each outcome a function.
func TestReconcile_EachResultHasItsOutcome(t *testing.T) {
	in := func(phase download.Phase) map[string]download.State {
		return map[string]download.State{"a": {Phase: phase}}
	}
	down := errors.New("down")
	for name, c := range map[string]struct {
		change  func(h *heldTask, p *reconciliation, tasks map[string]*heldTask)
		want    jobOutcome
		version int // that the engine has then
	}{
		"not held":          {func(_ *heldTask, _ *reconciliation, tasks map[string]*heldTask) { delete(tasks, "a") }, jobGone, 0},
		"dropped meanwhile": {func(h *heldTask, _ *reconciliation, _ map[string]*heldTask) { h.drop = &model.Drop{} }, jobOutdated, 1},
		"another version":   {func(h *heldTask, _ *reconciliation, _ map[string]*heldTask) { h.wantedVersion = 2 }, jobOutdated, 1},
		"no answer":         {func(_ *heldTask, p *reconciliation, _ map[string]*heldTask) { p.err = down }, jobUnanswered, 0},
		"no answer, and dropped": {func(h *heldTask, p *reconciliation, _ map[string]*heldTask) {
			p.err, h.drop = down, &model.Drop{}
		}, jobOutdated, 0},
		"refused":  {func(h *heldTask, p *reconciliation, _ map[string]*heldTask) { p.startErrs[h] = down }, jobRefused, 0},
		"no state": {func(*heldTask, *reconciliation, map[string]*heldTask) {}, jobStarted, 1},
		"active":   {func(_ *heldTask, p *reconciliation, _ map[string]*heldTask) { p.states = in(download.Active) }, jobActive, 1},
		"complete": {func(_ *heldTask, p *reconciliation, _ map[string]*heldTask) { p.states = in(download.Complete) }, jobComplete, 1},
		"failed":   {func(_ *heldTask, p *reconciliation, _ map[string]*heldTask) { p.states = in(download.Failed) }, jobFailed, 1},
	} {
		h := newHeldTask(&entry{Attempt: 1, Phase: phaseAccepted, Task: task("a")}, &downloadDir{})
		p := &reconciliation{startErrs: map[*heldTask]error{}}
		tasks := map[string]*heldTask{"a": h}
		c.change(h, p, tasks)
		f := p.find(tasks, &wantedJob{held: h, task: h.Task, version: 1})
		if f.outcome != c.want || h.givenVersion != c.version {
			t.Errorf("%s: outcome %d and version %d, want %d and %d", name, f.outcome, h.givenVersion, c.want, c.version)
		}
	}
	for outcome, handle := range outcomeHandlers {
		if handle == nil {
			t.Errorf("the outcome %d has no function", outcome)
		}
	}
}
