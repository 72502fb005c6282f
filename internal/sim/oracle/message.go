package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Message is one that a dispatcher has received.
type Message struct {
	Ops        []engine.Event
	FromWorker bool // else of a client
	Answers    []engine.Answer
}

// Received records a message that was accepted: from now on it may have its effect.
func (c *Oracle) Received(m *Message) {
	c.undecided = append(c.undecided, m)
	for _, op := range m.Ops {
		switch op := op.(type) {
		case engine.Submit:
			e := c.task(op.Spec.ID)
			e.requests[verbSubmit]++
			e.submissions = append(e.submissions, submission{op.Client, op.Hash})
		case engine.Heartbeat:
			k := c.worker(op.WorkerID)
			if op.State == model.StateLeaving {
				k.leavingAt = c.world.Now()
			}
			for i := range op.Tasks {
				c.task(op.Tasks[i].ID).record(op.WorkerID, &op.Tasks[i])
			}
		case engine.Report:
			c.task(op.ID).record(op.Worker, &op.Report)
		case engine.RemoveWorker:
			c.worker(op.ID).removals++
		case engine.ResumeWorker:
			c.worker(op.ID).resumes++
		default:
			c.recordVerb(op)
		}
	}
}

// Answered notes that a message was answered.
func (c *Oracle) Answered(m *Message) {
	for i := range m.Answers {
		if m.Answers[i].Err == nil && !isQuery(m.Ops[i]) {
			c.turn.outputs++
		}
	}
	c.turn.messages = append(c.turn.messages, m)
}

func isQuery(op engine.Event) bool {
	switch op.(type) {
	case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
		return true
	}
	return false
}

// Assigned notes an assign command to a worker.
func (c *Oracle) Assigned(worker string, list []model.Assignment) {
	c.turn.outputs++
	for _, a := range list {
		c.turn.assigns = append(c.turn.assigns, sentAssignment{worker, a})
	}
}

// Dropped notes a drop command to a worker.
func (c *Oracle) Dropped(worker string, d model.Drop) {
	c.turn.outputs++
	c.turn.drops = append(c.turn.drops, sentDrop{worker, d})
}

// TaskEvent notes the event of a task.
func (c *Oracle) TaskEvent(ev *model.TaskEvent) {
	c.turn.outputs++
	c.turn.taskEvents = append(c.turn.taskEvents, *ev)
}

// WorkerEvent notes the event of a worker.
func (c *Oracle) WorkerEvent(ev *model.WorkerEvent) {
	c.turn.outputs++
	c.turn.workerEvents = append(c.turn.workerEvents, *ev)
}

// ProgressEvent notes a progress event.
func (c *Oracle) ProgressEvent(*model.ProgressEvent) { c.turn.outputs++ }
