package engine

import "github.com/aria-cluster/dispatcher/internal/engine/placement"

// Sizes is how much an engine holds, for tests that look for growth without limit.
type Sizes struct {
	placement.Sizes

	Tasks, Workers                 int
	Watched, Held, Stopping, Dirty int
}

// Sizes counts what the engine holds now. It costs a walk over the tasks, the sets
// and the workers.
func (e *Engine) Sizes() Sizes {
	s := Sizes{
		Sizes: e.index.Sizes(), Tasks: len(e.tasks), Workers: len(e.workers),
		Watched: e.watch.Len(), Dirty: len(e.dirtyProgress),
	}
	for _, t := range e.tasks { // in any order: only a sum
		if t.onHold {
			s.Held++
		}
	}
	for _, w := range e.workers { // in the same way
		s.Stopping += len(w.dropping) + len(w.erasures)
	}
	return s
}
