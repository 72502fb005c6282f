package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestFreshLink_SameAttemptRefused: a link that an update replaced gets a new attempt.
func TestFreshLink_SameAttemptRefused(t *testing.T) {
	play(t, "fresh-link-fresh-attempt", []testCase{
		{"a new attempt with the new link", false, func(h *history) {
			h.started()
			url := "https://h0.example/fresh"
			h.verb(engine.Update{Client: "alice", ID: "t1", Change: &model.TaskUpdate{URL: &url}}, func(t *model.Task) {
				t.URL = url
				assignTo("w1")(t)
			})
		}},
		{"the old attempt with the new link", true, func(h *history) {
			h.started()
			url := "https://h0.example/fresh"
			h.verb(engine.Update{Client: "alice", ID: "t1", Change: &model.TaskUpdate{URL: &url}}, func(t *model.Task) { t.URL = url })
		}},
	})
}
