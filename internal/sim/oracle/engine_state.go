package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

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
	c.checkCounts(answers[1].Status.TasksByStatus)
	if all {
		c.checkWorkerStates()
	}
}

// checkTaskState compares the engine's state of a task with its row.
func (c *Oracle) checkTaskState(e *taskHistory, live map[string]model.TaskState) {
	got, ok := live[e.id]
	c.checkTaskAgrees(e, got, ok)
	if e.row == nil || e.row.Status.Terminal() {
		return
	}
	c.checkAwaitedWorker(e, got.Reason)
	c.checkLongestBackoff(e, got.Reason)
	c.checkHeldReason(e, got.Reason)
	c.checkCooldownReason(e, got.Reason)
	c.checkReason(e, got.Reason)
}

// checkWorkerStates compares the workers of the engine with the store.
func (c *Oracle) checkWorkerStates() {
	answers, ok := c.dispatcher.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}})
	if !ok {
		return
	}
	for _, row := range answers[0].Workers.Workers {
		c.checkUsedSlots(row)
		c.checkCurrentTasks(row)
	}
}
