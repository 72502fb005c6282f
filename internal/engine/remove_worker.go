package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// RemoveWorker forgets a worker; one that is not offline only with Force.
type RemoveWorker struct {
	ID    string
	Force bool
}

// Traits implements [Event].
func (r RemoveWorker) Traits() Traits { return Traits{Worker: r.ID} }

func (RemoveWorker) reads(_ *Engine, ids []string) []string { return ids }

// decide forgets a worker; a live one needs force. Its tasks wait again. If it sends
// another heartbeat it is a new worker, and may take back the tasks that were not
// reassigned.
func (r RemoveWorker) decide(e *Engine) Answer {
	return e.onWorker(r.ID, func(w *worker) *model.Error {
		if !w.lost && !r.Force {
			return model.Errorf(model.CodeConflict,
				"the worker %s is %s and cannot be removed; drain and stop it first, or force its removal", w.ID, w.status()).For(w.ID)
		}
		if !w.lost {
			e.markLost(w, false)
		}
		e.removeWorker(w)
		return nil
	})
}
