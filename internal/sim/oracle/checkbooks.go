package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkOut asks that what left a turn is true by the store.
func (c *Oracle) checkOut() {
	for _, s := range c.turn.assigns {
		c.checkAssignment(s.worker, &s.Assignment)
	}
	for _, s := range c.turn.drops {
		c.checkDrop(s.worker, s.Drop)
	}
	if c.turn.failed && c.turn.left > 0 {
		c.violate("answers-after-commit", "the turn failed, and %d answers or messages have left", c.turn.left)
	}
	if c.turn.failed {
		return
	}
	c.checkEvents()
}

// checkEvents asks that every change of a status is told, and that what is told
// last is what the store has.
func (c *Oracle) checkEvents() {
	for i, ev := range c.turn.events {
		later := slices.ContainsFunc(c.turn.events[i+1:], func(o model.TaskEvent) bool { return o.ID == ev.ID })
		if row := c.entry(ev.ID).row; !later && !c.asked(ev.ID, asDelete) && (row == nil || row.Status != ev.Status || row.Client != ev.Client) {
			c.violate("events-are-true", "%s is told to be %s; the store has %s", ev.ID, ev.Status, told(row))
		}
	}
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.before.Status == ch.after.Status && (ch.before.Attempt == ch.after.Attempt || !ch.after.Status.Active()) { // an update moves the attempt of one that waits
			continue
		}
		if !slices.ContainsFunc(c.turn.events, func(ev model.TaskEvent) bool { return ev.ID == ch.e.id && ev.Status == ch.after.Status }) {
			c.violate("events-are-true", "%s has become %s, and nobody was told", ch.e.id, ch.after.Status)
		}
	}
}

// checkBooks compares what the engine believes with what the store was given: the
// tasks of the turn after each, everything now and then.
func (c *Oracle) checkBooks() {
	if !c.isLoaded {
		return
	}
	all := c.w.Turns()%32 == 0
	var ids []string
	for _, ch := range c.turn.changes {
		ids = append(ids, ch.e.id)
	}
	if all {
		ids = ids[:0]
		for _, e := range c.order {
			ids = append(ids, e.id)
		}
		c.checkIdle()
		c.checkLeases()
		c.checkProgress()
	}
	if len(ids) == 0 {
		return
	}
	answers, ok := c.d.Query(engine.QueryTasks{IDs: ids}, engine.QueryStatus{})
	if !ok {
		return
	}
	for _, id := range ids {
		c.checkBelief(c.entry(id), answers[0].Live)
	}
	for _, s := range model.Statuses {
		if got := answers[1].Status.TasksByStatus[s]; got != c.counts[s] {
			c.violate("engine-agrees", "%d tasks are said to be %s; the store has %d", got, s, c.counts[s])
		}
	}
	if all {
		c.checkWorkerBooks()
	}
}

func (c *Oracle) checkBelief(e *entry, live map[string]model.TaskState) {
	got, ok := live[e.id]
	if row := e.row; row == nil || row.Status.Terminal() {
		if ok {
			c.violate("engine-agrees", "%s is alive as %s; the store has %s", e.id, got.Status, told(row))
		}
		return
	}
	if !ok || got.Status != e.row.Status || got.Attempt != e.row.Attempt || got.WorkerID != e.row.WorkerID {
		c.violate("engine-agrees", "%s is %s, attempt %d, of %q for the engine; the store has %s, %d, %q",
			e.id, got.Status, got.Attempt, got.WorkerID, e.row.Status, e.row.Attempt, e.row.WorkerID)
	}
	c.checkAwaited(e, got.Reason)
	c.checkWait(e, got.Reason)
	c.checkHeldReason(e, got.Reason)
	if e.row.Status == model.StatusPending && got.Reason == "" {
		c.violate("waits-for-a-reason", "%s is pending, and no reason is stated", e.id)
	}
}

// checkWorkerBooks asks that the slots which are said to be used are those of the
// tasks that a worker holds or has to stop.
func (c *Oracle) checkWorkerBooks() {
	answers, ok := c.d.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}})
	if !ok {
		return
	}
	for _, row := range answers[0].Workers.Workers {
		k := c.worker(row.ID)
		certain, most := c.busy(k)
		if row.UsedSlots < certain || row.UsedSlots > most {
			c.violate("slots", "%s is said to use %d slots; it holds or stops %d, at most %d", row.ID, row.UsedSlots, certain, most)
		}
		for _, id := range row.CurrentTasks {
			if t := c.entry(id).row; t == nil || t.WorkerID != row.ID {
				c.violate("engine-agrees", "%s is said to hold %s; the store has %s", row.ID, id, told(t))
			}
		}
	}
}
