package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestHistoryAgrees_WrongHistoryRefused: the history has each attempt that ended, once, as it ended.
func TestHistoryAgrees_WrongHistoryRefused(t *testing.T) {
	failed := func(change func(h *history, t *model.Task)) func(h *history) {
		return func(h *history) {
			h.started()
			h.reports("w1", h.failure("t1"), func(t *model.Task) {
				h.failing(2000)(t)
				t.History = []model.PastAttempt{{
					Attempt: 1, WorkerID: "w1", AssignedAt: t.AssignedAt, EndedAt: h.Wall(), Outcome: model.OutcomeRetryable, Error: retryable(),
				}}
				change(h, t)
			})
		}
	}
	play(t, "history-agrees", []testCase{
		{"a failure", false, failed(func(*history, *model.Task) {})},
		{"an attempt that is missing", true, failed(func(h *history, t *model.Task) {
			t.History = []model.PastAttempt{{Attempt: 2, WorkerID: "w1", EndedAt: h.Wall(), Outcome: model.OutcomeSuperseded}}
			h.task("t1").requests[verbUpdate]++
		})},
		{"an attempt that nobody got", true, failed(func(h *history, t *model.Task) {
			t.History = append(t.History, model.PastAttempt{Attempt: 2, WorkerID: "w1", EndedAt: h.Wall(), Outcome: model.OutcomeLost})
		})},
		{"an attempt twice", true, failed(func(_ *history, t *model.Task) { t.History = append(t.History, t.History[0]) })},
		{"another worker", true, failed(func(_ *history, t *model.Task) { t.History[0].WorkerID = "w2" })},
		{"another outcome", true, failed(func(_ *history, t *model.Task) { t.History[0].Outcome = model.OutcomePermanent })},
		{"no error", true, failed(func(_ *history, t *model.Task) { t.History[0].Error = nil })},
		{"another end", true, failed(func(_ *history, t *model.Task) { t.History[0].EndedAt++ })},
		{"another begin", true, failed(func(_ *history, t *model.Task) { t.History[0].AssignedAt++ })},
		{"a longer history than is kept", true, failed(func(h *history, t *model.Task) {
			h.task("t1").imported = true
			for n := range int64(model.MaxHistory) {
				t.History = append(t.History, model.PastAttempt{Attempt: 2 + n, WorkerID: "w1", EndedAt: h.Wall(), Outcome: model.OutcomeLost})
			}
		})},
		{"a failure that is forgotten", true, func(h *history) {
			failed(func(*history, *model.Task) {})(h)
			h.waitHeard(3000, "w1")
			h.assign("t1", "w1")
			h.verb(engine.Pause{Client: "alice", ID: "t1"}, func(t *model.Task) {
				become(model.StatusPaused)(t)
				t.History = []model.PastAttempt{{Attempt: 2, WorkerID: "w1", EndedAt: h.Wall(), Outcome: model.OutcomePaused}, {Attempt: 3, Outcome: model.OutcomeSuperseded}}
			})
		}},
		{"a completion after a failure", false, func(h *history) {
			failed(func(*history, *model.Task) {})(h)
			h.waitHeard(3000, "w1")
			h.assign("t1", "w1")
			h.reports("w1", h.report("t1", model.ReportCompleted), completed)
		}},
	})
}
