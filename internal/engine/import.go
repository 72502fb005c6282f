package engine

import (
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
	Tasks    map[string]bool     // by id: held back from now on, or no longer
	Released bool                // the import is no longer under way
	Verified map[string]struct{} // with Released: ids of the tasks that it no longer holds back; nil = all
}

// Apply makes the change.
func (h *ImportHold) Apply(c *HoldChange) {
	for id, held := range c.Tasks { // in any order: each is set alone
		if held {
			h.Tasks[id] = struct{}{}
		} else {
			delete(h.Tasks, id)
		}
	}
	if !c.Released {
		return
	}
	h.Active = false
	if c.Verified == nil {
		clear(h.Tasks)
	}
	for id := range c.Verified { // in any order: each is removed alone
		delete(h.Tasks, id)
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

// maxReleases bounds the tasks that one turn looks at to release them.
const maxReleases = 4096

// release is the tasks of an import that has ended. They are released in slices, and nothing is
// placed before the last: otherwise the first slice would go before tasks of a higher priority.
// A reload needs no slices, so that the caller's [ImportHold] has none of it.
type release struct {
	verified map[string]struct{} // by id; nil = all
	held     []*task             // not looked at yet, in the order of the import; some may have ended
}

// holdBack notes a task that is held back.
func (e *Engine) holdBack(t *task) {
	if len(e.held) >= e.heldLimit { // those that have ended would otherwise stay for as long as no import ends
		e.held = slices.DeleteFunc(e.held, func(t *task) bool { return !t.onHold })
		e.heldLimit = 2*len(e.held) + maxReleases
	}
	e.held = append(e.held, t)
}

// releaseTasks ends the import. The turn, and those after it, release the tasks, or all for nil.
func (e *Engine) releaseTasks(verified map[string]struct{}) {
	e.releases = append(e.releases, release{verified, e.held})
	e.held, e.heldLimit = nil, 0
	e.importing = false
	e.turn.plan.Hold.Released, e.turn.plan.Hold.Verified = true, verified
	for _, w := range e.workersByName() {
		if !w.lost {
			e.resetTimeout(w)
		}
	}
}

// continueReleases places the next of the tasks that are released, and reports whether there are
// more. Those that another import has left behind stay held back.
func (e *Engine) continueReleases() (more bool) {
	for budget := maxReleases; len(e.releases) > 0; e.releases = e.releases[1:] {
		r := &e.releases[0]
		for ; len(r.held) > 0; r.held = r.held[1:] {
			if budget == 0 {
				return true
			}
			budget--
			t := r.held[0]
			_, ok := r.verified[t.ID]
			switch {
			case !t.onHold:
			case ok || r.verified == nil:
				t.onHold = false
				e.place(t)
			case len(e.releases) > 1: // the import that has ended next may have verified it
				e.releases[1].held = append(e.releases[1].held, t)
			default:
				e.holdBack(t)
			}
		}
	}
	e.releases = nil // for the garbage collector
	return false
}
