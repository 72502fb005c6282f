package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// newTask returns the row of a new task of the client alice.
func (h *history) newTask(id string, set ...func(t *model.Task)) *model.Task {
	h.seq++
	t := &model.Task{
		TaskSpec: model.TaskSpec{ID: id, URL: "https://h0.example/" + id, Priority: model.PriorityNormal, MaxAttempts: 3},
		Client:   "alice", Seq: h.seq, CreatedAt: h.Wall(), TaskState: model.TaskState{Status: model.StatusPending},
	}
	for _, f := range set {
		f(t)
	}
	t.SpecHash = t.TaskSpec.Hash()
	return t
}

func submitOf(t *model.Task) engine.Submit {
	return engine.Submit{Client: t.Client, Spec: &t.TaskSpec, Hash: t.SpecHash, Chosen: true}
}

// create commits a new task.
func (h *history) create(t *model.Task) {
	h.Committed(&model.Batch{Tasks: []model.TaskChange{{ID: t.ID, Put: t}}})
	h.TaskEvent(&model.TaskEvent{ID: t.ID, Client: t.Client, Status: t.Status})
}

// submit submits a task in a turn of its own; it is accepted.
func (h *history) submit(id string, set ...func(t *model.Task)) {
	t := h.newTask(id, set...)
	m := &Message{Ops: []engine.Event{submitOf(t)}}
	h.Received(m)
	h.turn(func() {
		h.create(t)
		h.answer(m, engine.Answer{Task: t})
	})
}

// verb has a client change a task in a turn of its own, with success.
func (h *history) verb(op engine.Event, change func(t *model.Task)) {
	id, _, _ := verbOf(op)
	m := &Message{Ops: []engine.Event{op}}
	h.Received(m)
	h.turn(func() {
		h.commit(id, change)
		h.answer(m, engine.Answer{Task: h.row(id)})
	})
}

// newHeartbeat returns a heartbeat that lists what the worker holds.
func (h *history) newHeartbeat(worker string, set ...func(b *model.Heartbeat)) *model.Heartbeat {
	h.seq++
	b := &model.Heartbeat{
		WorkerID: worker, Instance: "i-" + worker, Epoch: 1, Seq: h.seq, State: model.StateReady, TotalSlots: 2,
		Capabilities: model.Capabilities{Protocols: []string{"https"}},
	}
	for _, e := range h.taskOrder {
		if e.row != nil && e.row.WorkerID == worker {
			b.Tasks = append(b.Tasks, model.Report{ID: e.id, Attempt: e.row.Attempt, Status: model.ReportDownloading, CompletedLength: e.row.CompletedLength})
		}
	}
	for _, f := range set {
		f(b)
	}
	return b
}

// heartbeat sends a heartbeat in a turn of its own; its answer is empty.
func (h *history) heartbeat(worker string, set ...func(b *model.Heartbeat)) {
	h.turn(func() { h.beat(h.newHeartbeat(worker, set...), &model.HeartbeatAnswer{}) })
}

func (h *history) beat(b *model.Heartbeat, a *model.HeartbeatAnswer) {
	h.tell(engine.Heartbeat{Heartbeat: b}, engine.Answer{Heartbeat: a})
}

// assign assigns a task in a turn of its own.
func (h *history) assign(id, worker string) {
	h.turn(func() { h.commit(id, assignTo(worker)) })
}

func assignTo(worker string) func(t *model.Task) {
	return func(t *model.Task) {
		t.Status, t.WorkerID = model.StatusQueued, worker
		t.Attempt++
		t.RetryAt = 0
	}
}

// become returns a change of the status; what ends or waits is held by no worker.
func become(s model.Status) func(t *model.Task) {
	return func(t *model.Task) {
		if !s.Active() && t.WorkerID != "" {
			t.LastWorkerID, t.WorkerID = t.WorkerID, ""
		}
		t.Status = s
	}
}

// completed is the change of a task that its holder completed.
func completed(t *model.Task) {
	become(model.StatusCompleted)(t)
	t.Result = &model.Result{WorkerID: t.LastWorkerID}
}

// failing returns the change of a task that failed and backs off.
func (h *history) failing(wait model.Time) func(t *model.Task) {
	return func(t *model.Task) {
		become(model.StatusPending)(t)
		t.Failures++
		t.Error = retryable()
		t.RetryAt = h.Wall() + wait
	}
}

func retryable() *model.TaskError {
	return &model.TaskError{Message: "the connection broke", Class: model.ClassRetryable}
}

// report returns a report of the current attempt.
func (h *history) report(id string, s model.ReportStatus) *model.Report {
	return &model.Report{ID: id, Attempt: h.task(id).row.Attempt, Status: s}
}

// failure returns a report of a retryable failure.
func (h *history) failure(id string) *model.Report {
	r := h.report(id, model.ReportFailed)
	r.Error = retryable()
	return r
}

// reports has a worker report in a turn of its own, with what is committed for it.
func (h *history) reports(worker string, r *model.Report, change func(t *model.Task)) {
	h.turn(func() {
		m := &Message{Ops: []engine.Event{engine.Report{Worker: worker, Report: *r}}, FromWorker: true}
		h.Received(m)
		if change != nil {
			h.commit(r.ID, change)
		}
		h.answer(m, engine.Answer{})
	})
}

// started plays a task up to its download by the worker w1.
func (h *history) started(set ...func(t *model.Task)) {
	h.heartbeat("w1")
	h.submit("t1", set...)
	h.assign("t1", "w1")
	h.reports("w1", h.report("t1", model.ReportDownloading), become(model.StatusDownloading))
}
