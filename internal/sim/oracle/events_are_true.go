package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkEvents requires an event for each change of a status, and that the last event
// states what the store has.
func (c *Oracle) checkEvents() {
	for i, ev := range c.turn.taskEvents {
		later := slices.ContainsFunc(c.turn.taskEvents[i+1:], func(o model.TaskEvent) bool { return o.ID == ev.ID })
		if row := c.task(ev.ID).row; !later && !c.isRequestedInTurn(ev.ID, verbDelete) && (row == nil || row.Status != ev.Status || row.Client != ev.Client) {
			c.violate("events-are-true", "the event of %s states %s; the store has %s", ev.ID, ev.Status, describeTask(row))
		}
	}
	for _, ch := range c.turn.changes {
		if ch.after == nil || ch.before != nil && ch.before.Status == ch.after.Status && (ch.before.Attempt == ch.after.Attempt || !ch.after.Status.Active()) { // an update moves the attempt of one that waits
			continue
		}
		if !slices.ContainsFunc(c.turn.taskEvents, func(ev model.TaskEvent) bool { return ev.ID == ch.task.id && ev.Status == ch.after.Status }) {
			c.violate("events-are-true", "%s has become %s without an event", ch.task.id, ch.after.Status)
		}
	}
}

// checkRemoved requires that a worker with a removed event is not in the store.
func (c *Oracle) checkRemoved() {
	for i, ev := range c.turn.workerEvents {
		if ev.Status != model.WorkerRemoved {
			continue
		}
		again := false
		for _, later := range c.turn.workerEvents[i+1:] {
			again = again || later.ID == ev.ID
		}
		if !again && c.workerRows[ev.ID] != nil {
			c.violate("events-are-true", "the event of %s states that it is removed; the store has it", ev.ID)
		}
	}
}
