package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestEverythingEnds_LiveTaskRefused: at the end no task is live.
func TestEverythingEnds_LiveTaskRefused(t *testing.T) {
	play(t, "everything-ends", []testCase{
		{"a canceled task", false, func(h *history) {
			h.submit("t1")
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, become(model.StatusCanceled))
			h.CheckAllEnded()
		}},
		{"a pending task", true, func(h *history) {
			h.submit("t1")
			h.CheckAllEnded()
		}},
	})
}
