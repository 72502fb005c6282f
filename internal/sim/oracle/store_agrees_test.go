package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestStoreAgrees_OtherRowRefused: the store returns the rows that it was given.
func TestStoreAgrees_OtherRowRefused(t *testing.T) {
	play(t, "store-agrees", []testCase{
		{"the same rows", false, func(h *history) {
			h.submit("t1")
			h.CheckStore([]*model.Task{h.row("t1")})
		}},
		{"a missing row", true, func(h *history) {
			h.submit("t1")
			h.CheckStore(nil)
		}},
		{"another row", true, func(h *history) {
			h.submit("t1")
			row := h.row("t1")
			row.Attempt = 9
			h.CheckStore([]*model.Task{row})
		}},
	})
}
