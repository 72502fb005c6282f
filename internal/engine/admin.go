package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// onWorker finds a worker that an operator speaks of, and shows it after what was
// done.
func (e *Engine) onWorker(id string, do func(*worker) *model.Error) Answer {
	w := e.workers[id]
	if w == nil {
		return Answer{Err: model.Errorf(model.CodeNotFound, "there is no worker %s", id).For(id)}
	}
	if err := do(w); err != nil {
		return Answer{Err: err}
	}
	return Answer{Workers: &model.WorkerPage{Workers: []*model.Worker{w.view()}}}
}

// drainWorker has a worker finish what it holds and take nothing new, until it is
// resumed; a restart of either side does not end that.
func (e *Engine) drainWorker(d DrainWorker) Answer {
	return e.onWorker(d.ID, func(w *worker) *model.Error {
		e.setDrained(w, true)
		return nil
	})
}

func (e *Engine) resumeWorker(r ResumeWorker) Answer {
	return e.onWorker(r.ID, func(w *worker) *model.Error {
		if !w.Drained && w.said == model.StateDraining && !w.lost {
			return model.Errorf(model.CodeConflict, "the worker %s drains by its own will and cannot be resumed from here", w.ID).For(w.ID)
		}
		e.setDrained(w, false)
		return nil
	})
}

func (e *Engine) setDrained(w *worker, drained bool) {
	if w.Drained != drained {
		w.Drained = drained
		e.indexWorker(w)
		e.markDirty(w)
	}
}

// removeWorkerNow forgets a worker. Of a living one only with force: its tasks
// wait again, and if it speaks once more it is a new worker that may take back
// those that were not given away.
func (e *Engine) removeWorkerNow(r RemoveWorker) Answer {
	return e.onWorker(r.ID, func(w *worker) *model.Error {
		if !w.lost && !r.Force {
			return model.Errorf(model.CodeConflict,
				"the worker %s is %s and cannot be removed; drain and stop it first, or use force", w.ID, w.status()).For(w.ID)
		}
		if !w.lost {
			e.lose(w, false)
		}
		e.removeWorker(w)
		return nil
	})
}
