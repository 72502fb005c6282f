package oracle

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// turn is what happened in one.
type turn struct {
	isActive     bool
	commit       *model.Batch
	changes      []change
	hasCommit    bool // a commit was
	hasFailed    bool // and failed, or a read did: what was asked was answered with an error
	hasReload    bool // after that the engine was loaded anew
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

// traceTurn puts what a turn did into the story.
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
