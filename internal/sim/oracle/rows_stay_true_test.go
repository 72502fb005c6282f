package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestRowsStayTrue_ChangedFieldRefused: the fields that a client has set do not change, and times match the status.
func TestRowsStayTrue_ChangedFieldRefused(t *testing.T) {
	play(t, "rows-stay-true", []testCase{
		{"an update that was requested", false, func(h *history) {
			h.submit("t1")
			url := "https://h1.example/t1"
			h.verb(engine.Update{Client: "alice", ID: "t1", Change: &model.TaskUpdate{URL: &url}}, func(t *model.Task) { t.URL = url })
		}},
		{"another client", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.Client = "mallory" }) })
		}},
		{"another url", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.URL = "https://h1.example/t1" }) })
		}},
		{"a pending task with finished_at", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.commit("t1", func(t *model.Task) { t.FinishedAt = 1 }) })
		}},
		{"a completed task without a result", true, func(h *history) {
			h.started()
			h.reports("w1", h.report("t1", model.ReportCompleted), become(model.StatusCompleted))
		}},
	})
}
