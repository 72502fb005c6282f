package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkOutputs asks that what left a turn is true by the store.
func (c *Oracle) checkOutputs() {
	for _, s := range c.turn.assigns {
		c.checkAssignment(s.worker, &s.Assignment)
	}
	for _, s := range c.turn.drops {
		c.checkDrop(s.worker, s.Drop)
	}
	if c.turn.hasFailed && c.turn.outputs > 0 {
		c.violate("answers-after-commit", "the turn failed, and %d answers or messages have left", c.turn.outputs)
	}
	if c.turn.hasFailed {
		return
	}
	c.checkEvents()
}

// checkEvents asks that every change of a status is told, and that what is told
// last is what the store has.
func (c *Oracle) checkEvents() {
	for i, ev := range c.turn.taskEvents {
		later := slices.ContainsFunc(c.turn.taskEvents[i+1:], func(o model.TaskEvent) bool { return o.ID == ev.ID })
		if row := c.task(ev.ID).row; !later && !c.isRequestedInTurn(ev.ID, verbDelete) && (row == nil || row.Status != ev.Status || row.Client != ev.Client) {
			c.violate("events-are-true", "%s is told to be %s; the store has %s", ev.ID, ev.Status, describeTask(row))
		}
	}
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.before.Status == ch.after.Status && (ch.before.Attempt == ch.after.Attempt || !ch.after.Status.Active()) { // an update moves the attempt of one that waits
			continue
		}
		if !slices.ContainsFunc(c.turn.taskEvents, func(ev model.TaskEvent) bool { return ev.ID == ch.task.id && ev.Status == ch.after.Status }) {
			c.violate("events-are-true", "%s has become %s, and nobody was told", ch.task.id, ch.after.Status)
		}
	}
}

// checkEngineState compares what the engine believes with what the store was given: the
// tasks of the turn after each, everything now and then.
func (c *Oracle) checkEngineState() {
	if !c.isLoaded {
		return
	}
	all := c.world.Turns()%32 == 0
	var ids []string
	for _, ch := range c.turn.changes {
		ids = append(ids, ch.task.id)
	}
	if all {
		ids = ids[:0]
		for _, e := range c.taskOrder {
			ids = append(ids, e.id)
		}
		c.checkIdle()
		c.checkLeases()
		c.checkProgress()
	}
	if len(ids) == 0 {
		return
	}
	answers, ok := c.dispatcher.Query(engine.QueryTasks{IDs: ids}, engine.QueryStatus{})
	if !ok {
		return
	}
	for _, id := range ids {
		c.checkTaskState(c.task(id), answers[0].Live)
	}
	for _, s := range model.Statuses {
		if got := answers[1].Status.TasksByStatus[s]; got != c.counts[s] {
			c.violate("engine-agrees", "%d tasks are said to be %s; the store has %d", got, s, c.counts[s])
		}
	}
	if all {
		c.checkWorkerStates()
	}
}

func (c *Oracle) checkTaskState(e *taskHistory, live map[string]model.TaskState) {
	got, ok := live[e.id]
	if row := e.row; row == nil || row.Status.Terminal() {
		if ok {
			c.violate("engine-agrees", "%s is alive as %s; the store has %s", e.id, got.Status, describeTask(row))
		}
		return
	}
	if !ok || got.Status != e.row.Status || got.Attempt != e.row.Attempt || got.WorkerID != e.row.WorkerID {
		c.violate("engine-agrees", "%s is %s, attempt %d, of %q for the engine; the store has %s, %d, %q",
			e.id, got.Status, got.Attempt, got.WorkerID, e.row.Status, e.row.Attempt, e.row.WorkerID)
	}
	c.checkAwaitedWorker(e, got.Reason)
	c.checkLongestBackoff(e, got.Reason)
	c.checkHeldReason(e, got.Reason)
	if e.row.Status == model.StatusPending && got.Reason == "" {
		c.violate("waits-for-a-reason", "%s is pending, and no reason is stated", e.id)
	}
}

// checkWorkerStates asks that the slots which are said to be used are those of the
// tasks that a worker holds or has to stop.
func (c *Oracle) checkWorkerStates() {
	answers, ok := c.dispatcher.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}})
	if !ok {
		return
	}
	for _, row := range answers[0].Workers.Workers {
		k := c.worker(row.ID)
		certain, most := c.countSlots(k)
		if row.UsedSlots < certain || row.UsedSlots > most {
			c.violate("slots", "%s is said to use %d slots; it holds or stops %d, at most %d", row.ID, row.UsedSlots, certain, most)
		}
		for _, id := range row.CurrentTasks {
			if t := c.task(id).row; t == nil || t.WorkerID != row.ID {
				c.violate("engine-agrees", "%s is said to hold %s; the store has %s", row.ID, id, describeTask(t))
			}
		}
	}
}
