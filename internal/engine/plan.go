package engine

import (
	"cmp"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Assign is an assignment whose task the caller has to read: the engine does not
// keep what only a worker needs.
type Assign struct {
	Worker      string
	Task        string
	Attempt     int64
	TimeoutLeft model.Duration
}

// DropCommand tells a worker to stop an attempt.
type DropCommand struct {
	Worker string
	model.Drop
}

// Note is something that an operator should read in the log.
type Note struct {
	Text   string
	Task   string
	Worker string
}

// Plan is what a turn decided. Nothing of it may leave before Batch is committed.
type Plan struct {
	Batch    model.Batch // its tasks are valid until the next Begin
	Assign   []Assign
	Drop     []DropCommand
	Tasks    []model.TaskEvent
	Progress []model.ProgressEvent
	Workers  []model.WorkerEvent
	Notes    []Note
	Ask      []string // workers whose answers may have been lost: a heartbeat is asked of them
	Hold     HoldChange
	Facts    []Fact // valid until the next Begin
	More     bool   // there is more to place: turn again at once
}

// turn gathers a plan.
type turn struct {
	lookup       Lookup
	changed      map[string]int   // task id → index in plan.Batch.Tasks
	ended        map[string]*task // tasks that ended in this turn: no longer held, and not yet in the store
	dirtyWorkers []*worker        // workers whose row or status may have changed
	attempts     []attemptEnd     // except for completions
	plan         Plan
}

// changeState writes some fields of a task's row and, if the status is among them and
// differs, counts it and publishes it.
func (e *Engine) changeState(t *task, set model.Fields, state model.TaskState) {
	from := t.status()
	if set&model.SetStatus != 0 {
		state.UpdatedAt = e.now
		if state.Status != from {
			e.counts[from]--
			e.counts[state.Status]++
			countPending(t.Client, from, -1)
			countPending(t.Client, state.Status, 1)
			t.setStatus(state.Status)
			e.emitStatus(t, &state)
		}
	}
	e.addChange(&model.TaskChange{ID: t.ID, Seq: t.Seq, From: from, Set: set, State: state})
}

// emitStatus publishes a task's new status.
func (e *Engine) emitStatus(t *task, state *model.TaskState) {
	e.turn.plan.Tasks = append(e.turn.plan.Tasks, model.TaskEvent{
		ID: t.ID, Client: t.Client.Name, Status: t.status(), WorkerID: cmp.Or(t.workerID(), state.LastWorkerID),
		Attempt: t.attempt, Error: state.Error, Result: state.Result, At: e.now, Traceparent: t.trace(),
	})
}

// addChange adds a change to the batch, folded into an earlier one of the same task.
func (e *Engine) addChange(c *model.TaskChange) {
	if i, ok := e.turn.changed[c.ID]; ok {
		e.turn.plan.Batch.Tasks[i].Fold(c)
		return
	}
	e.turn.changed[c.ID] = len(e.turn.plan.Batch.Tasks)
	e.turn.plan.Batch.Tasks = append(e.turn.plan.Batch.Tasks, *c)
}

// row returns the task as it will be after the turn so far, nil if it was neither
// asked for nor made in this turn.
func (e *Engine) row(id string) *model.Task {
	before := e.turn.lookup.Tasks[id]
	i, ok := e.turn.changed[id]
	if !ok {
		return before
	}
	c := &e.turn.plan.Batch.Tasks[i]
	if before == nil && c.Put == nil {
		return nil
	}
	return c.Apply(before)
}

func (e *Engine) addNote(task, worker, text string) {
	e.turn.plan.Notes = append(e.turn.plan.Notes, Note{Text: text, Task: task, Worker: worker})
}

func (e *Engine) sendDrop(worker, id string, attempt int64, reason model.DropReason) {
	e.turn.plan.Drop = append(e.turn.plan.Drop, DropCommand{
		Worker: worker, Drop: model.Drop{ID: id, Attempt: attempt, Reason: reason},
	})
}

// countPending counts the tasks of a client that wait for a worker or for their client.
func countPending(c *placement.Client, s model.Status, n int64) {
	if s == model.StatusPending || s == model.StatusPaused {
		c.Pending += n
	}
}
