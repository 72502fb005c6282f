package engine

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// importRows takes over rows of another store. A task gets a new Seq where its own
// is not after the last one here, so that the order of the import is kept.
func (e *Engine) importRows(b *model.Batch) Answer {
	for _, c := range b.Workers {
		if old := e.workers[c.ID]; old != nil && old.known && !old.lost {
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
		e.end(old)
		delete(e.turn.ended, old.id)
	}
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
	e.write(&model.TaskChange{ID: c.ID, From: c.From, Put: row})
	if row.Status.Terminal() {
		return
	}
	e.load(row, true)
}

// endImport lets the tasks that were held back be placed, in the order of their
// arrival.
func (e *Engine) endImport() {
	held := slices.SortedFunc(maps.Values(e.held), func(a, b *task) int { return int(a.seq - b.seq) })
	e.importing = false
	clear(e.held)
	for _, t := range held {
		if t.status() == model.StatusPending {
			e.enqueue(t)
		}
	}
	for _, w := range e.workersByName() {
		if !w.lost {
			e.heard(w)
		}
	}
}
