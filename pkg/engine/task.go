package engine

import (
	"hash/fnv"
	"io"
	"strconv"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// task is what the engine keeps of a task that has not ended. Everything else of
// it is in the store.
type task struct {
	id, client  string
	seq         int64
	status      model.Status
	priority    model.Priority
	maxAttempts int32
	failures    int32
	losses      int32
	attempt     int64 // the fencing token in the store
	named       int64 // the highest attempt that the store or any worker has named
	timeout     model.Duration
	notBefore   model.Time // the client's wish
	retryAt     model.Time // the end of a backoff
	last        string     // the worker that held it last
	req         *requirement
	run         *run // set while a worker holds it

	// reclaimable says that the last worker did not fail but fell silent: until
	// the task is given away, that worker may take it back.
	reclaimable bool

	checkAt model.Time // key in Engine.watch, on the alive clock
	inQueue int
	inDue   int
	inWatch int
}

// run is what an assigned task has besides. Its times are on the alive clock.
type run struct {
	worker   *worker
	listAt   model.Time // by when the worker must have listed it; 0 = it does list it
	resent   bool       // listAt has passed once and the assignment was sent again
	deadline model.Time // the end of the attempt's timeout; 0 = none
	progress model.TaskState
	dirty    bool       // progress is newer than the store's
	told     model.Time // the last progress event
}

func (t *task) workerID() string {
	if t.run == nil {
		return ""
	}
	return t.run.worker.ID
}

func (t *task) dueAt() model.Time { return max(t.notBefore, t.retryAt) }

// before is the order of placing: the higher priority, then the earlier.
func (t *task) before(u *task) bool {
	if t.priority != u.priority {
		return t.priority > u.priority
	}
	return t.seq < u.seq
}

// newTask makes the engine's record of a row, without its state.
func (e *Engine) newTask(row *model.Task) *task {
	t := &task{
		id:          row.ID,
		client:      row.Client,
		seq:         row.Seq,
		priority:    row.Priority,
		maxAttempts: int32(row.MaxAttempts),
		timeout:     row.Timeout,
		notBefore:   row.NotBefore,
	}
	t.req = e.queue.enter(needsOf(&row.TaskSpec), "")
	return t
}

// hold makes w the holder of t.
func (e *Engine) hold(w *worker, t *task) {
	if t.run == nil {
		t.run = &run{}
	}
	t.run.worker = w
	t.reclaimable = false
	w.tasks[t.id] = t
	e.touch(w)
}

// release takes t from its holder, who may have to stop it yet: while it does,
// the slot stays taken.
func (e *Engine) release(t *task, stopping bool) *worker {
	w := t.run.worker
	delete(w.tasks, t.id)
	if stopping {
		w.dropping[t.id] = t.attempt
	}
	t.last, t.run = w.ID, nil
	e.watch.remove(t)
	e.touch(w)
	return w
}

// end lets go of a task that has become terminal.
func (e *Engine) end(t *task) {
	e.unqueue(t)
	e.watch.remove(t)
	e.queue.leave(t.req)
	delete(e.tasks, t.id)
	e.turn.ended[t.id] = t
}

// enqueue puts a pending task where it can be placed, now or when it is due.
func (e *Engine) enqueue(t *task) {
	if t.dueAt() > e.now {
		e.due.fix(t)
		return
	}
	e.queue.push(t)
}

func (e *Engine) unqueue(t *task) {
	e.due.remove(t)
	e.queue.remove(t)
}

// avoidFor is how long a worker that refused or lost an assignment, or failed it
// by its own fault, is passed over for that task.
func (e *Engine) avoidFor() model.Duration { return 2 * e.cfg.HeartbeatInterval }

// avoid passes over the worker for this pending task, which is in no queue, for a
// while. Past the bound of requirement sets it does nothing: the task is then
// merely given to the same worker again.
func (e *Engine) avoid(t *task, worker string) {
	if len(e.queue.sets) >= 2*e.cfg.RequirementSets {
		return
	}
	e.reset(t, worker)
	t.checkAt = e.alive.Add(e.avoidFor())
	e.watch.fix(t)
}

// reset moves a task that is in no queue to the requirement set with that worker
// excluded, "" for none.
func (e *Engine) reset(t *task, worker string) {
	if t.req.avoid == worker {
		return
	}
	need := t.req.need
	old := t.req
	t.req = e.queue.enter(need, worker)
	e.queue.leave(old)
}

// requeue makes an assigned task pending again, not to be placed before the wait
// is over and, with avoid, not on that worker for a while. why is the failure that
// led to it; without one the worker was lost, and may take the task back. The row
// has the same difference, so that a restart knows it too.
func (e *Engine) requeue(t *task, why *model.TaskError, wait model.Duration, avoid string) {
	state := t.run.progress // as far as it came; the bytes are on that worker's disk
	state.DownloadSpeed = 0
	w := e.release(t, false)
	t.reclaimable = why == nil
	if wait > 0 {
		t.retryAt = e.now.Add(wait)
	}
	state.Status, state.WorkerID, state.LastWorkerID = model.StatusPending, "", w.ID
	state.Failures, state.Losses = int(t.failures), int(t.losses)
	state.RetryAt, state.Error = t.retryAt, why
	e.change(t, model.SetStatus|model.SetWorker|model.SetLastWorker|model.SetFailures|
		model.SetRetryAt|model.SetError|model.SetProgress, state)
	if avoid != "" {
		e.avoid(t, avoid)
	}
	e.enqueue(t)
}

// backoff is the wait before the attempt after t's last failure: exponential
// from RetryBase up to RetryDelay, of which a part between a half and all is
// taken by a hash of task and attempt, so that tasks which failed together do
// not come back together ("equal jitter").
func (e *Engine) backoff(t *task) model.Duration {
	wait := e.cfg.RetryBase
	for i := int32(1); i < t.failures && wait < e.cfg.RetryDelay; i++ {
		wait *= 2
	}
	wait = min(wait, e.cfg.RetryDelay)
	h := fnv.New32a()
	_, _ = io.WriteString(h, t.id+"/"+strconv.FormatInt(t.attempt, 10)) // a hash never fails to write
	const steps = 1024
	return wait/2 + wait/2*model.Duration(h.Sum32()%steps)/(steps-1)
}
