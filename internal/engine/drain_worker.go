package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// DrainWorker keeps a worker from getting new tasks.
type DrainWorker struct{ ID string }

// Traits implements [Event].
func (d DrainWorker) Traits() Traits { return Traits{Worker: d.ID} }

func (DrainWorker) reads(_ *Engine, ids []string) []string { return ids }

// decide lets a worker finish its tasks and assigns no new ones, until the worker is
// resumed. A restart of the worker or the dispatcher does not end that.
func (d DrainWorker) decide(e *Engine) Answer {
	return e.onWorker(d.ID, func(w *worker) *model.Error {
		e.setDrained(w, true)
		return nil
	})
}
