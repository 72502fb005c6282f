package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Import takes over rows of another store: each change is a Put, and From is what
// the caller has just read from the store. Tasks that are to be placed are held
// back until [Release]; a worker that is living here keeps its own row.
type Import struct{ Batch *model.Batch }

// Traits implements [Event].
func (Import) Traits() Traits { return Traits{} }

func (Import) reads(_ *Engine, ids []string) []string { return ids }

func (i Import) decide(e *Engine) Answer { return e.importRows(i.Batch) }

// Hold says that an import has begun: no worker is told that a task is unknown. It
// writes nothing, so it needs no turn.
type Hold struct{}

// Traits implements [Event].
func (Hold) Traits() Traits { return Traits{} }

func (Hold) reads(_ *Engine, ids []string) []string { return ids }

func (Hold) decide(e *Engine) Answer {
	e.importing = true
	return Answer{}
}

// Release ends an import: its tasks are no longer held back, and every worker has a
// fresh timeout. Tasks that an earlier import has left behind stay held back.
type Release struct {
	Tasks map[string]struct{} // ids of the verified tasks; nil = all that are held back
}

// Traits implements [Event].
func (Release) Traits() Traits { return Traits{} }

func (Release) reads(_ *Engine, ids []string) []string { return ids }

func (r Release) decide(e *Engine) Answer {
	e.releaseHeld(r.Tasks)
	return Answer{}
}

// Abandon ends an import that is not verified: its tasks stay held back until
// another import of the same tasks is released. Like [Hold] it needs no turn.
type Abandon struct{}

// Traits implements [Event].
func (Abandon) Traits() Traits { return Traits{} }

func (Abandon) reads(_ *Engine, ids []string) []string { return ids }

func (Abandon) decide(e *Engine) Answer {
	e.importing = false
	return Answer{}
}
