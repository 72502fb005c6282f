package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Import takes over rows of another store: each change is a Put, and From is what
// the caller has just read from the store. Tasks that are to be placed are held
// back until [FinishImport]; a worker that is living here keeps its own row.
type Import struct{ Batch *model.Batch }

// Traits implements [Event].
func (Import) Traits() Traits { return Traits{} }

func (Import) reads(_ *Engine, ids []string) []string { return ids }

func (i Import) decide(e *Engine) Answer { return e.importRows(i.Batch) }

// BeginImport starts an import: until its end no report is answered with unknown. It writes
// nothing, so it needs no turn.
type BeginImport struct{}

// Traits implements [Event].
func (BeginImport) Traits() Traits { return Traits{} }

func (BeginImport) reads(_ *Engine, ids []string) []string { return ids }

func (BeginImport) decide(e *Engine) Answer {
	e.importing = true
	return Answer{}
}

// FinishImport ends an import: its tasks are no longer held back, and every worker has a
// fresh timeout. Tasks that an earlier import has left behind stay held back.
type FinishImport struct {
	Tasks map[string]struct{} // ids of the verified tasks; nil = all that are held back
}

// Traits implements [Event].
func (FinishImport) Traits() Traits { return Traits{} }

func (FinishImport) reads(_ *Engine, ids []string) []string { return ids }

func (f FinishImport) decide(e *Engine) Answer {
	e.releaseTasks(f.Tasks)
	return Answer{}
}

// AbortImport ends an import that is not verified: its tasks stay held back until
// another import of the same tasks is released. Like [BeginImport] it needs no turn.
type AbortImport struct{}

// Traits implements [Event].
func (AbortImport) Traits() Traits { return Traits{} }

func (AbortImport) reads(_ *Engine, ids []string) []string { return ids }

func (AbortImport) decide(e *Engine) Answer {
	e.importing = false
	return Answer{}
}
