package engine

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ImportHold is the state of an import that no store holds. The caller passes it to each
// engine that it builds, or unverified tasks are placed.
type ImportHold struct {
	Active bool                // an import is under way
	Tasks  map[string]struct{} // ids of the tasks that are held back
}

// HoldChange is what a turn changes in an [ImportHold], once it is committed.
type HoldChange struct {
	Released bool            // the import is no longer under way
	Tasks    map[string]bool // by id: held back from now on, or no longer
}

// Apply makes the change.
func (h *ImportHold) Apply(c *HoldChange) {
	h.Active = h.Active && !c.Released
	for id, held := range c.Tasks { // in any order: each is set alone
		if held {
			h.Tasks[id] = struct{}{}
		} else {
			delete(h.Tasks, id)
		}
	}
}

// LoadHold takes over what an earlier engine on the same store held back. It
// comes before LoadTask. The engine reads h.Tasks and does not change it.
func (e *Engine) LoadHold(h ImportHold) { e.importing, e.heldIDs = h.Active, h.Tasks }

// IsHeld reports whether a task that has not ended is held back.
func (e *Engine) IsHeld(id string) bool {
	t := e.tasks[id]
	return t != nil && t.onHold
}

func (e *Engine) changeHold(id string, held bool) {
	c := &e.turn.plan.Hold
	if c.Tasks == nil {
		c.Tasks = make(map[string]bool)
	}
	c.Tasks[id] = held
}

// importRows takes over rows of another store. A task gets a new Seq where its own
// is not after the last one here, so that the order of the import is kept.
func (e *Engine) importRows(b *model.Batch) Answer {
	for _, c := range b.Workers {
		if old := e.workers[c.ID]; old != nil && old.confirmed && !old.lost {
			continue
		}
		e.importWorker(c.Put)
	}
	for i := range b.Tasks {
		e.importTask(&b.Tasks[i])
	}
	return Answer{}
}

func (e *Engine) importWorker(row *model.Worker) {
	e.LoadWorker(row)
	e.turn.plan.Batch.Workers = append(e.turn.plan.Batch.Workers, model.WorkerChange{ID: row.ID, Put: row})
}

func (e *Engine) importTask(c *model.TaskChange) {
	row := c.Put
	if old := e.tasks[c.ID]; old != nil {
		if old.run != nil {
			e.release(old, false)
		}
		e.removeTask(old)
		delete(e.turn.ended, old.ID)
	}
	e.forgetAttempts(c.ID)
	delete(e.unloadable, c.ID)
	switch {
	case c.From != "": // a replaced row keeps its place
	case row.Seq <= e.seq:
		moved := *row
		e.seq++
		moved.Seq = e.seq
		row = &moved
	default:
		e.seq = row.Seq
	}
	if c.From != "" {
		e.counts[c.From]--
	}
	e.counts[row.Status]++
	e.addChange(&model.TaskChange{ID: c.ID, From: c.From, Put: row})
	if row.Status.Terminal() {
		return
	}
	e.load(row, true)
	e.changeHold(c.ID, true)
}

// releaseTasks ends the import: the tasks, or all for nil, are placed in the order
// of their arrival.
func (e *Engine) releaseTasks(tasks map[string]struct{}) {
	var held []*task
	for id, t := range e.tasks { // in any order: they are sorted
		if _, ok := tasks[id]; t.onHold && (ok || tasks == nil) {
			held = append(held, t)
		}
	}
	slices.SortFunc(held, func(a, b *task) int { return cmp.Compare(a.Seq, b.Seq) })
	e.importing = false
	e.turn.plan.Hold.Released = true
	for _, t := range held {
		t.onHold = false
		e.changeHold(t.ID, false)
		e.place(t)
	}
	for _, w := range e.workersByName() {
		if !w.lost {
			e.resetTimeout(w)
		}
	}
}
