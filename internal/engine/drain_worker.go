package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// DrainWorker has a worker take nothing new.
type DrainWorker struct{ ID string }

// Traits implements [Event].
func (d DrainWorker) Traits() Traits { return Traits{Worker: d.ID} }

func (DrainWorker) reads(_ *Engine, ids []string) []string { return ids }

// decide has a worker finish what it holds and take nothing new, until it is
// resumed; a restart of either side does not end that.
func (d DrainWorker) decide(e *Engine) Answer {
	return e.onWorker(d.ID, func(w *worker) *model.Error {
		e.setDrained(w, true)
		return nil
	})
}
