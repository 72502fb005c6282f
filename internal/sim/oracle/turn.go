package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// turn is what happened in one.
type turn struct {
	isActive     bool
	commit       *model.Batch
	changes      []change
	hasCommit    bool // a commit was
	hasFailed    bool // and failed, or a read did: what was asked was answered with an error
	hasReload    bool // the engine was reloaded after that
	outputs      int  // what has left in it: answers that are no refusals, commands, events
	messages     []*Message
	assigns      []sentAssignment
	drops        []sentDrop
	taskEvents   []model.TaskEvent
	workerEvents []model.WorkerEvent
	isConnected  bool
	hasTick      bool
	imported     []string            // ids that an import may have written in it
	releases     map[string]struct{} // tasks that an import releases in it, if it is committed
}

type change struct {
	task          *taskHistory
	before, after *model.Task
}

type sentAssignment struct {
	worker string
	model.Assignment
}

type sentDrop struct {
	worker string
	model.Drop
}

// TriedCommit reports whether the turn had a commit, written or not.
func (c *Oracle) TriedCommit() bool { return c.turn.hasCommit }

// HasCommitted reports whether the turn's commit was written.
func (c *Oracle) HasCommitted() bool { return c.turn.commit != nil }

// CommitFailed notes a commit that returned an error.
func (c *Oracle) CommitFailed() {
	c.turn.hasCommit, c.turn.hasFailed = true, true
	if c.turn.imported != nil || c.turn.releases != nil {
		c.world.ImportCommitFailed()
	}
	c.disturbedAt = c.world.Now()
}

// Committed notes a commit that was written, whatever result the dispatcher gets.
func (c *Oracle) Committed(b *model.Batch) {
	c.checkCommitFirst()
	c.turn.hasCommit, c.turn.commit = true, b
	for _, wc := range b.Workers {
		c.checkUndrained(&wc)
		if c.workerRows[wc.ID] = wc.Put; wc.Put == nil {
			delete(c.workerRows, wc.ID)
		}
	}
	for i := range b.Tasks {
		tc := &b.Tasks[i]
		e := c.task(tc.ID)
		before := e.row
		if before == nil && tc.Put == nil {
			e.deleted = true // born and deleted at once
			continue
		}
		var after *model.Task
		if before != nil || tc.Put != nil {
			after = tc.Apply(before)
		}
		if before != nil {
			c.counts[before.Status]--
		}
		if after != nil {
			c.counts[after.Status]++
		}
		e.row = after
		c.turn.changes = append(c.turn.changes, change{e, before, after})
	}
}

// BeginTurn begins a turn.
func (c *Oracle) BeginTurn() {
	c.turn = turn{isActive: true, isConnected: c.dispatcher.Connected()}
	now := c.world.Now()
	steady := now - c.dispatcher.StartedAt()
	if c.turn.hasTick = steady-c.tickedAt >= 1000; c.turn.hasTick {
		c.tickedAt = steady
	}
	if !c.turn.hasTick && len(c.undecided) == 0 {
		return // the loop finds nothing to do
	}
	if now-c.lastTurnAt > 5000 || c.dispatcher.Connected() && !c.wasConnected {
		c.resetTimeouts()
		c.disturbedAt = now
	}
	if !c.dispatcher.Connected() {
		c.disturbedAt = now
	}
	c.lastTurnAt, c.wasConnected = now, c.dispatcher.Connected()
	if c.wasConnected {
		c.connectedAt = now
	}
}

// EndTurn checks a turn that has ended. If the process did not survive it, what it had
// committed counts, and nothing else was.
func (c *Oracle) EndTurn(survived bool) {
	t := &c.turn
	c.sortMessages()
	if c.world.Failed() {
		return
	}
	for _, ch := range t.changes {
		c.checkHeldTask(&ch)
		c.checkChange(&ch)
	}
	c.checkCooldowns()
	if survived {
		c.replayTurn()
		if t.hasTick && !t.hasFailed && c.world.Now()-c.disturbedAt > maxBackOff { // else the tick may have been refused
			c.dueWall = c.world.Wall()
			c.endWaits()
		}
		c.checkPlacing()
		c.checkLimits()
		c.checkOutputs()
	}
	for _, ch := range t.changes {
		ch.task.applyChange(c, &ch)
	}
	if t.hasReload {
		c.resetLiveState()
	}
	if c.hasRefusedHeartbeat() {
		c.resetTimeouts() // no worker is to blame for a heartbeat that was refused
	}
	if survived {
		c.checkEngineState()
	}
	c.traceTurn()
	t.isActive = false
}

// sortMessages puts the answered calls into the order in which the inbox gives them
// out: those of workers first.
func (c *Oracle) sortMessages() {
	rest := c.undecided[:0]
	var clients []*Message
	c.turn.messages = nil
	for _, m := range c.undecided {
		switch {
		case m.Answers == nil:
			rest = append(rest, m)
		case m.FromWorker:
			c.turn.messages = append(c.turn.messages, m)
		default:
			clients = append(clients, m)
		}
	}
	c.undecided = rest
	c.turn.messages = append(c.turn.messages, clients...)
}

// traceTurn adds the changes of a turn to the trace.
func (c *Oracle) traceTurn() {
	t := &c.turn
	for _, ch := range t.changes {
		if ch.after == nil {
			c.world.Say("%s: %s is deleted", c.name, ch.task.id)
			continue
		}
		a := ch.after
		if ch.before != nil && a.Status == ch.before.Status && a.Attempt == ch.before.Attempt {
			continue
		}
		c.world.Say("%s: %s is %s, attempt %d, worker %q, failures %d, losses %d, retry %d",
			c.name, ch.task.id, a.Status, a.Attempt, a.WorkerID, a.Failures, a.Losses, a.RetryAt)
	}
	for _, d := range t.drops {
		c.world.Say("%s: tells %s to drop %s#%d, %s", c.name, d.worker, d.ID, d.Attempt, d.Reason)
	}
	for _, ev := range t.workerEvents {
		c.world.Say("%s: worker %s is %s", c.name, ev.ID, ev.Status)
	}
}

// isChangedInTurn reports whether the turn has changed the task: then what was said in it
// may have been overtaken by what came after.
func (c *Oracle) isChangedInTurn(id string) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.task.id == id })
}

func (c *Oracle) isCreatedInTurn(e *taskHistory) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.task == e && ch.before == nil })
}

// isRequestedInTurn reports whether the turn has an operation of the kind on the task; one that
// has no answer, because the process crashed, may have had its effect.
func (c *Oracle) isRequestedInTurn(id string, verb int) bool {
	for _, m := range slices.Concat(c.turn.messages, c.undecided) {
		for _, op := range m.Ops {
			if of, _, v := verbOf(op); of == id && (v == verb || verb == verbUpdate && changesURL(op)) {
				return true
			}
		}
	}
	return false
}

// isOnlyMention reports whether one operation of the turn speaks of a task.
func (c *Oracle) isOnlyMention(id string) bool {
	n := 0
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.Heartbeat:
				if op.State == model.StateLeaving || slices.ContainsFunc(op.Tasks, func(r model.Report) bool { return r.ID == id }) {
					n++
				}
			case engine.Report:
				if op.ID == id {
					n++
				}
			default:
				if other, _, _ := verbOf(op); other == id {
					n++
				}
			}
		}
	}
	return n == 1
}

// isRemovedInTurn reports whether an operator has removed the worker: then that comes
// after the messages of workers.
func (c *Oracle) isRemovedInTurn(worker string) bool {
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			if r, ok := op.(engine.RemoveWorker); ok && r.ID == worker {
				return true
			}
		}
	}
	return false
}

// hasRefusedHeartbeat reports whether a heartbeat was refused in the turn because the
// store fails.
func (c *Oracle) hasRefusedHeartbeat() bool {
	for _, m := range c.turn.messages {
		if _, ok := m.Ops[0].(engine.Heartbeat); ok && m.Answers[0].Err != nil && m.Answers[0].Err.Code == model.CodeUnavailable {
			return true
		}
	}
	return false
}
