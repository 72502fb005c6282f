package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// ResumeWorker ends the effect of [DrainWorker].
type ResumeWorker struct{ ID string }

// Traits implements [Event].
func (r ResumeWorker) Traits() Traits { return Traits{Worker: r.ID} }

func (ResumeWorker) reads(_ *Engine, ids []string) []string { return ids }

// decide ends the drain of a worker by an operator.
func (r ResumeWorker) decide(e *Engine) Answer {
	return e.onWorker(r.ID, func(w *worker) *model.Error {
		if !w.Drained && w.state == model.StateDraining && !w.lost {
			return model.Errorf(model.CodeConflict, "the worker %s drains by its own will and cannot be resumed from here", w.ID).For(w.ID)
		}
		e.setDrained(w, false)
		return nil
	})
}
