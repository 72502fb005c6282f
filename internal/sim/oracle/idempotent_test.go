package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIdempotent_RepeatedSubmitRefused: a submit that is repeated unchanged is accepted.
func TestIdempotent_RepeatedSubmitRefused(t *testing.T) {
	play(t, "idempotent", []testCase{
		{"a repeated submit that is accepted", false, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(submitOf(h.row("t1")), engine.Answer{Task: h.row("t1")}) })
		}},
		{"a repeated submit that is refused", true, func(h *history) {
			h.submit("t1")
			h.turn(func() { h.ask(submitOf(h.row("t1")), refuse(model.CodeConflict)) })
		}},
		{"another spec that is refused", false, func(h *history) {
			h.submit("t1")
			other := h.newTask("t1", func(t *model.Task) { t.Labels = map[string]string{"other": "yes"} })
			h.turn(func() { h.ask(submitOf(other), refuse(model.CodeConflict)) })
		}},
	})
}
