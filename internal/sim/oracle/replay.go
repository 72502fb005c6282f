package oracle

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// replayTurn replays the messages of a turn, in order, with their answers: each must be
// true by the store, and what the dispatcher knows of workers follows.
func (c *Oracle) replayTurn() {
	c.applyTickChanges()
	for _, ev := range c.turn.workerEvents {
		switch k := c.worker(ev.ID); {
		case ev.Status == model.WorkerRemoved && !c.isRemovedInTurn(ev.ID):
			c.forgetWorker(k)
		case ev.Status == model.WorkerOffline:
			c.disconnect(k)
		}
	}
	for _, m := range c.turn.messages {
		for i, op := range m.Ops {
			a := &m.Answers[i]
			if a.Err != nil {
				c.checkRefusal(op, a)
			}
			switch op := op.(type) {
			case engine.Import:
				c.countEvent(op, a)
				c.checkPanic(a)
			case engine.Submit:
				c.checkSubmit(op, a)
			case engine.Heartbeat:
				c.checkHeartbeat(op.Heartbeat, a)
			case engine.Report:
				c.checkReport(op, a)
			case engine.RemoveWorker:
				if c.countEvent(op, a); a.Err == nil {
					c.checkRemoval(op)
					c.forgetWorker(c.worker(op.ID))
				}
			case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
				c.countEvent(op, a)
			default:
				c.checkVerb(op, a)
			}
		}
	}
	c.applyClientStops()
	c.checkRemoved()
	for _, ev := range c.turn.workerEvents { // one that was taken for lost and reports is back
		if k := c.worker(ev.ID); ev.Status != model.WorkerOffline && ev.Status != model.WorkerRemoved && k.registered && !k.isLive && !k.leaving {
			k.isLive, k.heardAt = true, c.world.Now()
		}
	}
}

// countEvent counts an event that was answered as it should be.
func (c *Oracle) countEvent(op engine.Event, a *engine.Answer) {
	if kind := eventKind(op, a); kind != "" {
		c.world.CountEvent(kind)
	}
}

// applyTickChanges finds what the tick did before anything was heard: workers that were
// lost, and attempts that took too long, which their workers have to stop.
func (c *Oracle) applyTickChanges() {
	for _, ch := range c.turn.changes {
		b, a := ch.before, ch.after
		if b == nil || a == nil || b.WorkerID == "" {
			continue
		}
		switch k := c.worker(b.WorkerID); {
		case a.Losses > b.Losses:
			c.disconnect(k)
		case a.Failures > b.Failures && b.Timeout > 0:
			c.markStopping(k, ch.task.id, b.Attempt, false)
		}
	}
}

// applyClientStops finds what clients have taken from workers, after these had their
// say: they have to stop it.
func (c *Oracle) applyClientStops() {
	for _, ch := range c.turn.changes {
		b, a, id := ch.before, ch.after, ch.task.id
		if b == nil {
			continue
		}
		holder := cmp.Or(b.WorkerID, b.LastWorkerID)
		ends := c.isRequestedInTurn(id, verbCancel) || c.isRequestedInTurn(id, verbPause) || c.isRequestedInTurn(id, verbUpdate) && (a == nil || a.WorkerID != holder)
		if holder == "" || !ends {
			continue
		}
		k := c.worker(holder)
		stopped := a != nil && (a.Status == model.StatusCanceled || a.Status == model.StatusPaused)
		sure := b.WorkerID != "" && c.isOnlyMention(id) && k.isLive && !c.isTakenBackInTurn(id, b)
		c.markStopping(k, id, b.Attempt, stopped && sure)
	}
}

// isTakenBackInTurn reports whether the turn made a task pending again, before a client stopped it:
// one that its holder has omitted since the engine was loaded takes no slot there.
func (c *Oracle) isTakenBackInTurn(id string, b *model.Task) bool {
	return slices.ContainsFunc(c.turn.drops, func(d sentDrop) bool {
		return d.worker == b.WorkerID && d.Drop == model.Drop{ID: id, Attempt: b.Attempt, Reason: model.DropSuperseded}
	})
}
