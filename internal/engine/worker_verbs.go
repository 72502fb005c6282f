package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// onWorker finds the worker that an operator names, and answers with it after the change.
func (e *Engine) onWorker(id string, do func(*worker) *model.Error) Answer {
	w := e.workers[id]
	if w == nil {
		return Answer{Err: model.Errorf(model.CodeNotFound, "there is no worker %s", id).For(id)}
	}
	if err := do(w); err != nil {
		return Answer{Err: err}
	}
	return Answer{Worker: w.public()}
}

func (e *Engine) setDrained(w *worker, drained bool) {
	if w.Drained != drained {
		w.Drained = drained
		e.indexWorker(w)
		e.markDirty(w)
		e.takeBackQueued(w)
	}
}
