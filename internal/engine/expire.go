package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Expire deletes rows that retention has found: changes with Delete, which the store
// returned just now. With Forget the store also removes old tombstones.
type Expire struct {
	Rows   []model.TaskChange
	Forget bool
}

// Traits implements [Event].
func (Expire) Traits() Traits { return Traits{} }

func (Expire) reads(_ *Engine, ids []string) []string { return ids }

// decide deletes what retention has found, except for what has changed since.
func (x Expire) decide(e *Engine) Answer {
	for i := range x.Rows {
		r := &x.Rows[i]
		if _, changed := e.turn.changed[r.ID]; !changed && e.tasks[r.ID] == nil {
			e.deleteRow(r.ID, r.From)
		}
	}
	if x.Forget {
		e.turn.plan.Batch.Forget = e.now
	}
	return Answer{}
}
