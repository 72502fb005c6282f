package oracle

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// turn is what happened in one.
type turn struct {
	active    bool
	commit    *model.Batch
	changes   []change
	tried     bool // a commit was
	failed    bool // and failed, or a read did: what was asked was answered with an error
	reload    bool // after that the engine was loaded anew
	left      int  // what has left in it: answers that are no refusals, commands, events
	calls     []*Message
	assigns   []sentAssign
	drops     []sentDrop
	events    []model.TaskEvent
	workers   []model.WorkerEvent
	connected bool
	ticks     bool
	imported  []string            // ids that an import may have written in it
	releases  map[string]struct{} // tasks that an import releases in it, if it is committed
}

type change struct {
	e             *entry
	before, after *model.Task
}

type sentAssign struct {
	worker string
	model.Assignment
}

type sentDrop struct {
	worker string
	model.Drop
}

// sortCalls puts the answered calls into the order in which the inbox gives them
// out: those of workers first.
func (c *Oracle) sortCalls() {
	rest := c.waiting[:0]
	var clients []*Message
	c.turn.calls = nil
	for _, m := range c.waiting {
		switch {
		case m.Answers == nil:
			rest = append(rest, m)
		case m.FromWorker:
			c.turn.calls = append(c.turn.calls, m)
		default:
			clients = append(clients, m)
		}
	}
	c.waiting = rest
	c.turn.calls = append(c.turn.calls, clients...)
}

// tellTurn puts what a turn did into the story.
func (c *Oracle) tellTurn() {
	t := &c.turn
	for _, ch := range t.changes {
		if ch.after == nil {
			c.w.Say("%s: %s is deleted", c.name, ch.e.id)
			continue
		}
		a := ch.after
		if ch.before != nil && a.Status == ch.before.Status && a.Attempt == ch.before.Attempt {
			continue
		}
		c.w.Say("%s: %s is %s, attempt %d, worker %q, failures %d, losses %d, retry %d",
			c.name, ch.e.id, a.Status, a.Attempt, a.WorkerID, a.Failures, a.Losses, a.RetryAt)
	}
	for _, d := range t.drops {
		c.w.Say("%s: tells %s to drop %s#%d, %s", c.name, d.worker, d.ID, d.Attempt, d.Reason)
	}
	for _, ev := range t.workers {
		c.w.Say("%s: worker %s is %s", c.name, ev.ID, ev.Status)
	}
}
